// @ts-nocheck
// The panels. Grafana's npm packages hold the parts (BigValue, BarGauge, TableNG, TimeSeries, VizRepeater), not the panel plugins;
// the few lines between the parts and a panel are written here after what the plugins do.
import { useMemo } from 'react';
import {
  PanelPlugin,
  cacheFieldDisplayNames,
  FieldType,
  FieldColorModeId,
  getFieldDisplayValues,
  getDisplayValueAlignmentFactors,
  getFrameDisplayName,
  identityOverrideProcessor,
  VizOrientation,
} from '@grafana/data';
import { config, setPluginImportUtils } from '@grafana/runtime';
import * as ui from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { StateTimeline } from './timeline';
// as PanelDataErrorView in Grafana's app
export function NoData({ data, fieldConfig, message, needsTimeField, needsNumberField }: any) {
  const empty = !data.series?.length || data.series.every((f: any) => f.length === 0);
  const has = (t: any) => data.series.some((f: any) => f.fields.some((x: any) => x.type === t));
  const text =
    message ??
    (empty
      ? (fieldConfig?.defaults?.noValue ?? 'No data')
      : needsTimeField && !has(FieldType.time)
        ? 'Data is missing a time field'
        : needsNumberField && !has(FieldType.number)
          ? 'Data is missing a number field'
          : 'Cannot visualize data');
  return (
    <div
      style={{
        display: 'flex',
        alignItems: 'center',
        justifyContent: 'center',
        height: '100%',
        width: '100%',
        textAlign: 'center',
        color: config.theme2.colors.text.secondary,
        fontSize: config.theme2.typography.size.lg,
      }}
    >
      {text}
    </div>
  );
}
const graphable = (series: any[]) => {
  const out: any[] = [];
  for (const fr of series ?? []) {
    if (
      !fr.fields.some((f: any) => f.type === FieldType.time) ||
      !fr.fields.some((f: any) => f.type === FieldType.number)
    )
      continue;
    out.push({
      ...fr,
      fields: fr.fields.map((f: any) =>
        f.type === FieldType.number
          ? { ...f, values: f.values.map((v: any) => (Number.isFinite(v) || v == null ? v : null)) }
          : f,
      ),
    });
  }
  let i = 0;
  out.forEach((fr) =>
    fr.fields.forEach((f: any) => {
      if (f.type !== FieldType.time) f.state = { ...f.state, seriesIndex: i++ };
    }),
  );
  return out;
};
const TimeSeriesPanel = ({ data, width, height, options, timeRange, timeZone, fieldConfig }: any) => {
  const frames = graphable(data.series);
  if (!frames.length) return <NoData data={data} fieldConfig={fieldConfig} needsTimeField needsNumberField />;
  return (
    <ui.TimeSeries
      frames={frames}
      structureRev={data.structureRev}
      timeRange={timeRange}
      timeZone={timeZone}
      width={width}
      height={height}
      legend={options.legend}
      options={options}
    >
      {() => null}
    </ui.TimeSeries>
  );
};
const plain = (b: any, o: any) => {
  for (const [p, d] of Object.entries(o))
    b.addCustomEditor({
      id: p,
      path: p,
      name: p,
      defaultValue: d,
      editor: () => null,
      override: () => null,
      process: identityOverrideProcessor,
      shouldApply: () => true,
    });
};
const axis = {
  axisPlacement: 'auto',
  axisLabel: undefined,
  axisWidth: undefined,
  axisSoftMin: undefined,
  axisSoftMax: undefined,
  axisColorMode: 'text',
  axisBorderShow: false,
  axisCenteredZero: false,
  axisGridShow: undefined,
  scaleDistribution: { type: 'linear' },
};
const tsPlugin = new PanelPlugin(TimeSeriesPanel).useFieldConfig({
  standardOptions: {
    color: {
      settings: { byValueSupport: true, bySeriesSupport: true, preferThresholdsMode: false },
      defaultValue: { mode: FieldColorModeId.PaletteClassic },
    },
  },
  useCustomConfig: (b: any) => {
    plain(b, {
      drawStyle: 'line',
      lineInterpolation: 'linear',
      lineWidth: 1,
      fillOpacity: 0,
      gradientMode: 'none',
      fillBelowTo: undefined,
      lineStyle: { fill: 'solid' },
      spanNulls: false,
      insertNulls: false,
      showPoints: 'auto',
      pointSize: 5,
      barAlignment: 0,
      barWidthFactor: 0.6,
      transform: undefined,
      thresholdsStyle: { mode: 'off' },
      ...axis,
    });
    ui.commonOptionsBuilder.addStackingConfig(b, { mode: 'none', group: 'A' });
    ui.commonOptionsBuilder.addHideFrom(b);
  },
});
const links = (v: any, fn: any) =>
  v.hasLinks && v.getLinks ? (
    <ui.DataLinksContextMenu links={v.getLinks}>{(api: any) => fn(api)}</ui.DataLinksContextMenu>
  ) : (
    fn({})
  );
const StatPanel = ({
  data,
  width,
  height,
  options,
  fieldConfig,
  replaceVariables,
  timeZone,
  timeRange,
  renderCounter,
}: any) => {
  const getValues = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables,
      theme: config.theme2,
      data: data.series,
      sparkline: options.graphMode !== 'none',
      percentChange: options.showPercentChange,
      timeZone,
    });
  const factors = (vs: any) => getDisplayValueAlignmentFactors(vs);
  return (
    <ui.VizRepeater
      getValues={getValues}
      getAlignmentFactors={factors}
      width={width}
      height={height}
      source={data}
      itemSpacing={3}
      renderCounter={renderCounter}
      autoGrid
      orientation={options.orientation}
      renderValue={(p: any) => {
        const { value, alignmentFactors, width, height, count } = p;
        if (value.sparkline) value.sparkline.timeRange = timeRange;
        return links(value, (m: any) => (
          <ui.BigValue
            value={value.display}
            count={count}
            sparkline={value.sparkline}
            colorMode={options.colorMode}
            graphMode={options.graphMode}
            justifyMode={options.justifyMode}
            textMode={options.textMode === 'auto' && count === 1 ? 'auto' : options.textMode}
            alignmentFactors={alignmentFactors}
            parentOrientation={options.orientation}
            text={options.text}
            width={width}
            height={height}
            theme={config.theme2}
            onClick={m.openMenu}
            className={m.targetClassName}
            percentChangeColorMode={options.percentChangeColorMode}
            wideLayout={options.wideLayout}
          />
        ));
      }}
    />
  );
};
const statPlugin = new PanelPlugin(StatPanel).useFieldConfig({});
const BarGaugePanel = ({
  data,
  width,
  height,
  options,
  fieldConfig,
  replaceVariables,
  timeZone,
  renderCounter,
}: any) => {
  const getValues = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables,
      theme: config.theme2,
      data: data.series,
      timeZone,
    });
  const orientation =
    options.orientation === 'auto' ? (width > height ? 'vertical' : 'horizontal') : options.orientation;
  const spacing = options.displayMode === 'lcd' ? 2 : 10;
  const manual = options.sizing === 'manual';
  const [minW, minH, maxH] = manual
    ? [options.minVizWidth, options.minVizHeight, options.maxVizHeight]
    : orientation === 'horizontal'
      ? [8, 16, 300]
      : [8, 16, 300];
  return (
    <ui.VizRepeater
      source={data}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      getValues={getValues}
      renderCounter={renderCounter}
      width={width}
      height={height}
      minVizWidth={minW}
      minVizHeight={minH}
      maxVizHeight={maxH}
      itemSpacing={spacing}
      orientation={orientation}
      renderValue={({ value, width, height, orientation, alignmentFactors, count }: any) =>
        links(value, (m: any) => (
          <ui.BarGauge
            value={count === 1 && !value.display.title ? value.display : value.display}
            width={width}
            height={height}
            orientation={orientation}
            field={value.field}
            text={options.text}
            display={value.view?.getFieldDisplayProcessor(value.colIndex)}
            theme={config.theme2}
            itemSpacing={spacing}
            displayMode={options.displayMode}
            onClick={m.openMenu}
            className={m.targetClassName}
            alignmentFactors={count > 1 ? alignmentFactors : undefined}
            showUnfilled={options.showUnfilled}
            valueDisplayMode={options.valueMode}
            namePlacement={options.namePlacement}
            isOverflow={false}
          />
        ))
      }
    />
  );
};
const barPlugin = new PanelPlugin(BarGaugePanel).useFieldConfig({});
const TablePanel = ({ data, width, height, options, fieldConfig, timeRange, transparent }: any) => {
  useMemo(() => cacheFieldDisplayNames(data.series), [data.series]);
  const frames = data.series;
  const main = frames[options.frameIndex > 0 && options.frameIndex < frames.length ? options.frameIndex : 0];
  if (!frames.length || !main.fields.length) return <NoData data={data} fieldConfig={fieldConfig} />;
  const pick = frames.length > 1 ? 32 + 8 : 0;
  return (
    <>
      <TableNG
        width={width}
        height={height - pick}
        data={main}
        noHeader={!options.showHeader}
        showTypeIcons={options.showTypeIcons}
        resizable
        sortBy={options.sortBy}
        cellHeight={options.cellHeight}
        enablePagination={options.enablePagination ?? options.footer?.enablePagination}
        timeRange={timeRange}
        fieldConfig={fieldConfig}
        structureRev={data.structureRev}
        transparent={transparent}
        noValue={fieldConfig.defaults?.noValue}
        initialSortBy={options.sortBy}
      />
      {pick > 0 && (
        <ui.Select
          options={frames.map((f: any, value: number) => ({ label: getFrameDisplayName(f), value }))}
          value={0}
          onChange={() => null}
        />
      )}
    </>
  );
};
const rename = (panel: any) => {
  for (const o of panel.fieldConfig?.overrides ?? [])
    for (const p of o.properties) if (p.id === 'custom.hidden') p.id = 'custom.hideFrom.viz';
  return panel.options;
};
const tablePlugin = new PanelPlugin(TablePanel)
  .setMigrationHandler(rename)
  .useFieldConfig({
    useCustomConfig: (b: any) =>
      plain(b, {
        minWidth: 50,
        width: undefined,
        align: 'auto',
        filterable: undefined,
        wrapText: undefined,
        wrapHeaderText: undefined,
        'hideFrom.viz': undefined,
        'footer.reducers': [],
        cellOptions: { type: 'auto' },
        inspect: false,
        'tooltip.field': undefined,
        'tooltip.placement': undefined,
        styleField: undefined,
      }),
  });
const stPlugin = new PanelPlugin((p: any) => <StateTimeline {...p} />).useFieldConfig({
  standardOptions: {
    color: { settings: { byValueSupport: true }, defaultValue: { mode: FieldColorModeId.ContinuousGrYlRd } },
  },
  useCustomConfig: (b: any) => {
    plain(b, { lineWidth: 0, fillOpacity: 70, spanNulls: false, insertNulls: false, ...axis });
    ui.commonOptionsBuilder.addHideFrom(b);
  },
});
const shPlugin = new PanelPlugin((p: any) => <StateTimeline {...p} history />).useFieldConfig({
  standardOptions: {
    color: { settings: { byValueSupport: true }, defaultValue: { mode: FieldColorModeId.Thresholds } },
  },
  useCustomConfig: (b: any) => {
    plain(b, { lineWidth: 1, fillOpacity: 70, ...axis });
    ui.commonOptionsBuilder.addHideFrom(b);
  },
});
import { renderMarkdown } from '@grafana/data';
const textPlugin = new PanelPlugin(({ options, replaceVariables }: any) => (
  <div
    className="markdown-html"
    dangerouslySetInnerHTML={{
      __html: options.mode === 'html' ? options.content : renderMarkdown(replaceVariables(options.content, {}, 'text')),
    }}
  />
));
const none = new PanelPlugin(({ fieldConfig }: any) => (
  <div style={{ opacity: 0.6 }}>This panel type is not drawn by this viewer</div>
)).useFieldConfig({});
export const PL: any = {
  timeseries: tsPlugin,
  stat: statPlugin,
  table: tablePlugin,
  bargauge: barPlugin,
  'state-timeline': stPlugin,
  'status-history': shPlugin,
  text: textPlugin,
};
const get = (id: string) => {
  const p = PL[id] ?? none;
  p.meta = {
    id,
    name: id,
    type: 'panel',
    info: { version: '13.2.3' },
    module: '',
    baseUrl: '',
    skipDataQuery: id === 'text',
  };
  return p;
};
setPluginImportUtils({
  importPanelPlugin: async (id: string) => get(id),
  getPanelPluginFromCache: (id: string) => get(id),
});
