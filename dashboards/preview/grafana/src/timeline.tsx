// @ts-nocheck
// State timeline and status history. Grafana's npm packages have no such panel: the boxes are drawn by the code below, written
// for this viewer; axes, layout, alignment, legend and colours are Grafana's own (GraphNG, UPlotConfigBuilder, VizLegend).
// Two rules of the real panel matter for looks and are kept: with mergeValues and colour mode "thresholds" a number becomes
// the name of its threshold (value mappings are lost); the legend lists thresholds if there is more than one, else states.
import { useMemo, useState } from 'react';
import uPlot from 'uplot';
import {
  FieldType,
  FALLBACK_COLOR,
  getActiveThreshold,
  getValueFormat,
  formattedValueToString,
  getFieldDisplayName,
  cacheFieldDisplayNames,
  colorManipulator,
  FieldColorModeId,
} from '@grafana/data';
import { UPlotConfigBuilder, VizLayout, VizLegend, useTheme2, Pagination } from '@grafana/ui';
import { GraphNG } from '@gui/graveyard/GraphNG/GraphNG.mjs';
import { preparePlotData2, getStackingGroups } from '@gui/components/uPlot/utils.mjs';
import { FIXED_UNIT } from '@gui/components/uPlot/types.mjs';
import { applyNullInsertThreshold } from '@gui/graveyard/GraphNG/nullInsertThreshold.mjs';
import { NoData } from './panels';
const stepNames = (config: any, theme: any) => {
  const steps = config.thresholds?.steps ?? [];
  const f = getValueFormat(config.unit ?? '');
  const fmt = (v: number) => formattedValueToString(f(v, config.decimals ?? undefined));
  return steps.map((s: any, i: number) => ({
    label: s.value === -Infinity && i < steps.length - 1 ? `< ${fmt(steps[i + 1].value)}` : `${fmt(s.value)}+`,
    color: theme.visualization.getColorByName(s.color),
    yAxis: 1,
  }));
};
const prepare = (series: any[], merge: boolean, range: any, theme: any) => {
  cacheFieldDisplayNames(series);
  const out: any[] = [];
  for (let frame of series) {
    if (!frame.fields.some((f: any) => f.type === FieldType.time) || !frame.length) continue;
    frame = applyNullInsertThreshold({
      frame,
      refFieldPseudoMin: range.from.valueOf(),
      refFieldPseudoMax: range.to.valueOf(),
    });
    const fields = frame.fields.map((f: any) => {
      if (f.type === FieldType.time) return f;
      const config = { ...f.config, custom: { ...f.config.custom, spanNulls: f.config.custom?.spanNulls || -1 } };
      if (
        f.type === FieldType.number &&
        merge &&
        config.color?.mode === FieldColorModeId.Thresholds &&
        config.thresholds?.steps?.length
      ) {
        const names = stepNames(config, theme);
        const steps = config.thresholds.steps;
        const colors = new Map(names.map((n: any) => [n.label, n.color]));
        return {
          ...f,
          config,
          type: FieldType.string,
          values: f.values.map((v: any) => (v == null ? v : names[steps.indexOf(getActiveThreshold(v, steps))].label)),
          display: (v: any) => ({ text: String(v), color: colors.get(String(v)), numeric: NaN }),
        };
      }
      return { ...f, config };
    });
    out.push({ ...frame, fields });
  }
  return out;
};
export function StateTimeline({ data, timeRange, timeZone, width, height, options, fieldConfig, history }: any) {
  const theme = useTheme2();
  const merge = !history && (options.mergeValues ?? true);
  const all = useMemo(() => prepare(data.series, merge, timeRange, theme), [data.series]);
  const [page, setPage] = useState(1);
  const per = options.perPage || 0;
  const pages = per && all.length > per ? Math.ceil(all.length / per) : 1;
  const frames = useMemo(() => (pages > 1 ? all.slice((page - 1) * per, page * per) : all), [all, page]);
  if (!frames.length) return <NoData fieldConfig={fieldConfig} data={data} needsTimeField />;
  const first = frames[0].fields.find((f: any) => f.type !== FieldType.time).config;
  const mode = first.color?.mode ?? 'fixed';
  let items: any[] | undefined;
  if (options.legend?.showLegend !== false) {
    if (mode === FieldColorModeId.Thresholds && first.thresholds?.steps?.length > 1) items = stepNames(first, theme);
    else if (!mode.startsWith('continuous')) {
      const m = new Map();
      frames.forEach((fr: any) =>
        fr.fields.forEach(
          (f: any) =>
            f.type !== FieldType.time &&
            f.values.forEach((v: any) => {
              const d = f.display(v);
              if (d.color && d.text) m.set(d.text, d.color);
            }),
        ),
      );
      items = [...m].map(([label, color]) => ({
        label,
        color: theme.visualization.getColorByName(color ?? FALLBACK_COLOR),
        yAxis: 1,
      }));
    }
  }
  const prepConfig = (frame: any, _f: any, getTimeRange: any) => {
    const n = frame.fields.length - 1;
    const rowH = n > 1 ? (options.rowHeight ?? 0.9) : 1;
    const b = new UPlotConfigBuilder(timeZone);
    const lane = (i: number, dim: number) => {
      const each = rowH / n;
      const gap = n > 1 ? (1 - rowH) / (n - 1) : 0;
      return [dim * i * (each + gap), dim * each];
    };
    const paths = (u: any, sidx: number) => {
      uPlot.orient(
        u,
        sidx,
        (
          series: any,
          dx: any,
          dy: any,
          sx: any,
          sy: any,
          px: any,
          py: any,
          xo: number,
          yo: number,
          xd: number,
          yd: number,
        ) => {
          const f = frame.fields[sidx];
          const [y0, h] = lane(sidx - 1, yd);
          const o = f.state?.origin;
          const src = o ? frames[o.frameIndex].fields[o.fieldIndex] : f;
          const op = (f.config.custom?.fillOpacity ?? 80) / 100;
          u.ctx.save();
          u.ctx.beginPath();
          u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
          u.ctx.clip();
          const cw =
            history && dx.length > 1 ? (px(dx[1], sx, xd, xo) - px(dx[0], sx, xd, xo)) * (options.colWidth ?? 0.9) : 0;
          for (let i = 0; i < dy.length; i++) {
            const v = dy[i];
            if (v == null) continue;
            let j = i + 1;
            if (!history) while (j < dy.length && (dy[j] === undefined || (merge && dy[j] === v))) j++;
            const x0 = Math.round(px(dx[i], sx, xd, xo) - cw / 2);
            const x1 = history ? x0 + cw : j === dy.length ? xo + xd : Math.round(px(dx[j], sx, xd, xo));
            const d = src.display(v);
            u.ctx.fillStyle = colorManipulator.alpha(theme.visualization.getColorByName(d.color ?? FALLBACK_COLOR), op);
            const w = Math.max(1, x1 - x0);
            u.ctx.fillRect(x0, Math.round(yo + y0), w, Math.round(h));
            const show = options.showValue ?? 'auto';
            const cpp = 8.5 * devicePixelRatio;
            const chars = Math.floor(w / cpp);
            if (show !== 'never' && (show === 'always' || chars >= 2)) {
              u.ctx.font = `500 ${Math.round(12 * devicePixelRatio)}px ${theme.typography.fontFamily}`;
              u.ctx.textBaseline = 'middle';
              u.ctx.textAlign = history ? 'center' : (options.alignValue ?? 'left');
              u.ctx.fillStyle = theme.colors.getContrastText(
                theme.visualization.getColorByName(d.color ?? FALLBACK_COLOR),
                3,
              );
              const tx = u.ctx.textAlign === 'center' ? x0 + w / 2 : u.ctx.textAlign === 'right' ? x0 + w - 2 : x0 + 2;
              u.ctx.fillText(formattedValueToString(d).slice(0, chars), tx, Math.round(yo + y0 + h / 2));
            }
            if (!history) i = j - 1;
          }
          u.ctx.restore();
        },
      );
      return null;
    };
    b.setPrepData((fs: any) => preparePlotData2(fs[0], getStackingGroups(fs[0])));
    b.addScale({
      scaleKey: 'x',
      isTime: true,
      orientation: 0,
      direction: 1,
      range: () => {
        const r = getTimeRange();
        return [r.from.valueOf(), r.to.valueOf()];
      },
    });
    b.addScale({ scaleKey: FIXED_UNIT, isTime: false, orientation: 1, direction: 1, range: [0, 1] });
    b.addAxis({ scaleKey: 'x', isTime: true, placement: 'bottom', timeZone, theme, grid: { show: true } });
    b.addAxis({
      scaleKey: FIXED_UNIT,
      isTime: false,
      placement: 'left',
      theme,
      grid: { show: false },
      ticks: { show: false },
      gap: 16,
      splits: (u: any) =>
        Array.from({ length: n }, (_, i) => {
          const [y, h] = lane(i, u.bbox.height);
          return u.posToVal(Math.round(y + h / 2) / uPlot.pxRatio, FIXED_UNIT);
        }),
      values: (u: any, s: any) => s.map((_: any, i: number) => getFieldDisplayName(frame.fields[i + 1], frame)),
    });
    frame.fields.forEach(
      (f: any, i: number) =>
        i &&
        b.addSeries({
          scaleKey: FIXED_UNIT,
          pathBuilder: paths,
          pointsBuilder: false as any,
          lineWidth: 0,
          fillOpacity: 80,
          theme,
          show: true,
          dataFrameFieldIndex: f.state?.origin,
        }),
    );
    return b;
  };
  const ph = pages > 1 ? 40 : 0;
  return (
    <div>
      <GraphNG
        frames={frames}
        timeRange={timeRange}
        timeZone={timeZone}
        width={width}
        height={height - ph}
        fields={{ x: (f: any) => f.type === FieldType.time, y: (f: any) => f.type !== FieldType.time }}
        prepConfig={prepConfig}
        propsToDiff={[]}
        structureRev={data.structureRev}
        renderLegend={() =>
          items ? (
            <VizLayout.Legend placement={options.legend.placement}>
              <VizLegend
                placement={options.legend.placement}
                items={items}
                displayMode={options.legend.displayMode}
                readonly
              />
            </VizLayout.Legend>
          ) : null
        }
      />
      {pages > 1 && (
        <div style={{ display: 'flex', justifyContent: 'center' }}>
          <Pagination currentPage={page} numberOfPages={pages} onNavigate={setPage} />
        </div>
      )}
    </div>
  );
}
