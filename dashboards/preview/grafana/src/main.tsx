// @ts-nocheck
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { from, map } from 'rxjs';
import { params } from './boot';
import { LoadingState, ThemeContext, dateTime, getDisplayProcessor } from '@grafana/data';
import { setRunRequest, config } from '@grafana/runtime';
import * as ui from '@grafana/ui';
import {
  EmbeddedScene,
  SceneGridLayout,
  SceneGridItem,
  SceneGridRow,
  VizPanel,
  SceneQueryRunner,
  SceneDataTransformer,
  SceneTimeRange,
  SceneVariableSet,
  QueryVariable,
  CustomVariable,
  TextBoxVariable,
  AdHocFiltersVariable,
  VariableValueSelectors,
  SceneTimePicker,
  SceneRefreshPicker,
  SceneControlsSpacer,
  SceneObjectBase,
  sceneGraph,
} from '@grafana/scenes';
import './prom';
import './panels';
const dash: any = await (await fetch(params.get('dash') || 'dash.json')).json();
setRunRequest((ds, req) =>
  from(ds.query(req)).pipe(
    map((r: any) => ({ state: LoadingState.Done, series: r.data, timeRange: req.range, request: req })),
  ),
);
const ds = { uid: 'PROM', type: 'prometheus' };
const given = (v: any) => {
  const a = params.getAll('var-' + v.name);
  return a.length ? { value: v.multi ? a : a[0], text: v.multi ? a : a[0] } : {};
};
const variable = (v: any) =>
  v.type === 'datasource'
    ? new CustomVariable({
        name: v.name,
        label: v.label,
        query: 'PROM',
        value: 'PROM',
        text: 'Prometheus',
        hide: v.hide,
      })
    : v.type === 'custom'
      ? new CustomVariable({
          name: v.name,
          label: v.label,
          query: v.query,
          isMulti: v.multi,
          includeAll: v.includeAll,
          allValue: v.allValue,
          value: v.current?.value ?? '',
          text: v.current?.text ?? '',
          hide: v.hide,
          ...given(v),
        })
      : v.type === 'textbox'
        ? new TextBoxVariable({
            name: v.name,
            label: v.label,
            value: params.get('var-' + v.name) ?? v.query ?? '',
            hide: v.hide,
          })
        : v.type === 'adhoc'
          ? new AdHocFiltersVariable({ name: v.name, label: v.label, datasource: ds, filters: [], hide: v.hide })
          : new QueryVariable({
              name: v.name,
              label: v.label,
              datasource: ds,
              query: v.query,
              isMulti: v.multi,
              includeAll: v.includeAll,
              allValue: v.allValue,
              defaultToAll: !!v.includeAll,
              ...(v.includeAll ? { value: '$__all', text: 'All' } : {}),
              refresh: v.refresh,
              sort: v.sort,
              regex: v.regex,
              hide: v.hide,
              ...given(v),
            });
// Dashboard links: drawn after Grafana's, from its own button.
class Links extends SceneObjectBase {
  static Component = ({ model }: any) => (
    <>
      {(dash.links ?? []).map((l: any, i: number) =>
        l.type === 'dashboards' && !l.asDropdown ? (
          (params.get('siblings') ?? 'Defender scans: definition|Defender scans: exporter|Defender scans: fleet')
            .split('|')
            .map((t) => (
              <ui.ToolbarButton key={t} icon="apps">
                {t}
              </ui.ToolbarButton>
            ))
        ) : (
          <ui.ToolbarButton key={i} icon={l.asDropdown ? 'bars' : 'external-link-alt'}>
            {l.title}
          </ui.ToolbarButton>
        ),
      )}
    </>
  );
}
const panel = (p: any) => {
  const runner = p.targets?.length
    ? new SceneQueryRunner({
        datasource: ds,
        maxDataPoints: p.maxDataPoints,
        minInterval: p.interval,
        queries: p.targets.map((t: any) => ({ ...t, datasource: ds })),
      })
    : undefined;
  return new SceneGridItem({
    key: 'grid-' + p.id,
    x: p.gridPos.x,
    y: p.gridPos.y,
    width: p.gridPos.w,
    height: p.gridPos.h,
    body: new VizPanel({
      key: 'panel-' + p.id,
      pluginId: p.type,
      title: p.title,
      description: p.description,
      displayMode: p.transparent ? 'transparent' : 'default',
      hoverHeader: !p.title,
      options: p.options,
      fieldConfig: p.fieldConfig ?? { defaults: {}, overrides: [] },
      pluginVersion: p.pluginVersion,
      $data:
        runner &&
        (p.transformations?.length
          ? new SceneDataTransformer({ $data: runner, transformations: p.transformations })
          : runner),
    }),
  });
};
const expand = params.get('rows') === 'open';
const body: any[] = [];
let row: any;
for (const p of dash.panels) {
  if (p.type === 'row') {
    row = new SceneGridRow({
      key: 'row-' + p.id,
      title: p.title,
      isCollapsed: expand ? false : p.collapsed,
      y: p.gridPos.y,
      children: (p.panels ?? []).map(panel),
    });
    body.push(row);
  } else if (row) row.setState({ children: [...row.state.children, panel(p)] });
  else body.push(panel(p));
}
const to = params.get('to') ? +params.get('to') : undefined;
const range = to
  ? { from: dateTime(+(params.get('from') ?? to - 864e5)).toISOString(), to: dateTime(to).toISOString() }
  : { from: params.get('from') ?? dash.time.from, to: 'now' };
const scene = new EmbeddedScene({
  $variables: new SceneVariableSet({ variables: dash.templating.list.map(variable) }),
  $timeRange: new SceneTimeRange({ ...range, timeZone: 'utc' }),
  controls: [
    new VariableValueSelectors({}),
    new Links({}),
    new SceneControlsSpacer(),
    new SceneTimePicker({}),
    new SceneRefreshPicker({ refresh: dash.refresh && !to ? dash.refresh : '' }),
  ],
  body: new SceneGridLayout({ children: body }),
});
(window as any).__scene = scene;
(window as any).__disp = (unit: string, v: any, type = 'string', extra = {}) => {
  const p = getDisplayProcessor({
    field: { name: 'x', type, config: { unit, ...extra }, values: [v] },
    theme: config.theme2,
  });
  const d = p(v);
  return (d.prefix ?? '') + d.text + (d.suffix ?? '');
};
(window as any).__table = () =>
  [...document.querySelectorAll('[role=grid]')].map((g: any) =>
    [...g.querySelectorAll('[role=row]')].map((r: any) =>
      [...r.querySelectorAll('[role=columnheader],[role=gridcell]')].map((c: any) => c.innerText),
    ),
  );
document.body.style.background = config.theme2.colors.background.canvas;
document.title = dash.title;
createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={config.theme2}>
    <ui.GlobalStyles />
    <ui.PortalContainer />
    <MemoryRouter>
      <div style={{ padding: '0 16px' }}>
        <h1 style={{ fontSize: 18, margin: '10px 0 0' }}>{dash.title}</h1>
      </div>
      <scene.Component model={scene} />
    </MemoryRouter>
  </ThemeContext.Provider>,
);
