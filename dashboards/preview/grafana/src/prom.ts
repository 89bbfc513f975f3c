// @ts-nocheck
// A Prometheus data source: what Grafana's Go backend answers is imitated here (frames, steps, legends);
// the frontend's half is Grafana's own @grafana/prometheus (transformV2).
import { FieldType, toDataFrame } from '@grafana/data';
import { RuntimeDataSource, sceneGraph, sceneUtils } from '@grafana/scenes';
import { transformV2 } from '@gprom/result_transformer.mjs';
import { params } from './boot';
const PROM = params.get('prom') || 'http://127.0.0.1:19090';
const SCRAPE = +(params.get('scrape') || 60);
export const log: any = ((window as any).__panels = []);
(window as any).__pending = 0;
(window as any).__errs = [];
export const api = async (p: string, q: any) => {
  const r = await fetch(`${PROM}/api/v1/${p}?` + (q instanceof URLSearchParams ? q : new URLSearchParams(q)));
  const j = await r.json();
  if (j.status !== 'success') {
    (window as any).__errs.push(j.error + ' :: ' + (q.query || ''));
    throw new Error(j.error);
  }
  return j.data;
};
const esc = (v: any) =>
  typeof v === 'string' ? v.replace(/\\/g, '\\\\\\\\').replace(/[$^*{}\[\]+?.()|]/g, '\\\\$&') : v;
// as PrometheusDatasource.interpolateQueryExpr does
export const interpolate = (o: any, e: string, scoped?: any) =>
  sceneGraph.interpolate(o, e, scoped, (v: any, variable: any) => {
    if (!variable.multi && !variable.includeAll) return String(v);
    if (typeof v === 'string') return esc(v);
    const l = v.map(esc);
    return l.length === 1 ? l[0] : '(' + l.join('|') + ')';
  });
const dur = (s: number) => `${s}s`;
export class Prom extends RuntimeDataSource {
  interval = `${SCRAPE}s`;
  async query(req: any) {
    (window as any).__pending++;
    try {
      const so = req.scopedVars.__sceneObject.value.valueOf();
      const from = req.range.from.valueOf() / 1000,
        to = req.range.to.valueOf() / 1000;
      const step = Math.max(SCRAPE, Math.ceil(req.intervalMs / 1000), Math.ceil((to - from) / 11000));
      const ri = Math.max(step + SCRAPE, 4 * SCRAPE);
      const frames: any[] = [];
      for (const t of req.targets) {
        if (t.hide) continue;
        const expr = interpolate(
          so,
          t.expr
            .replace(/\$\{?__rate_interval\}?/g, dur(ri))
            .replace(/\$\{?__interval_ms\}?/g, step * 1000)
            .replace(/\$\{?__interval\}?/g, dur(step))
            .replace(/\$\{?__range_ms\}?/g, Math.round((to - from) * 1000))
            .replace(/\$\{?__range_s\}?/g, Math.round(to - from))
            .replace(/\$\{?__range\}?/g, dur(Math.round(to - from))),
          req.scopedVars,
        );
        const t0 = performance.now();
        const d =
          t.instant && !t.range
            ? await api('query', { query: expr, time: to })
            : await api('query_range', {
                query: expr,
                start: Math.floor(from / step) * step,
                end: Math.floor(to / step) * step,
                step,
              });
        log.push({
          panel: so.parent?.state?.title ?? so.parent?.parent?.state?.title,
          refId: t.refId,
          series: d.result.length,
          ms: Math.round(performance.now() - t0),
          expr,
        });
        const rs = d.resultType === 'scalar' ? [{ metric: {}, value: d.result }] : d.result;
        if (!rs.length) frames.push(toDataFrame({ refId: t.refId, fields: [] }));
        for (const s of rs) {
          const v = s.values || [s.value];
          const n = Object.keys(s.metric).length;
          const rest = Object.entries(s.metric).filter(([k]) => k !== '__name__');
          const plain =
            (s.metric.__name__ ?? '') +
            (rest.length || !s.metric.__name__ ? '{' + rest.map(([k, x]) => `${k}="${x}"`).join(', ') + '}' : '');
          let name = plain;
          const lf = t.legendFormat;
          if (lf === '__auto') {
            if (n) name = '';
          } else if (lf) name = lf.replace(/\{\{\s*(.+?)\s*\}\}/g, (_: any, k: string) => s.metric[k] ?? '');
          if (name === '{}') name = t.expr && expr;
          frames.push(
            toDataFrame({
              refId: t.refId,
              meta: { type: 'timeseries-multi', custom: { resultType: d.resultType } },
              fields: [
                {
                  name: 'Time',
                  type: FieldType.time,
                  config: { interval: step * 1000 },
                  values: v.map((x: any) => Math.round(x[0] * 1000)),
                },
                {
                  name: s.metric.__name__ ?? 'Value',
                  type: FieldType.number,
                  labels: s.metric,
                  config: name ? { displayNameFromDS: name } : {},
                  values: v.map((x: any) =>
                    x[1] === 'NaN' ? NaN : x[1] === '+Inf' ? Infinity : x[1] === '-Inf' ? -Infinity : +x[1],
                  ),
                },
              ],
            }),
          );
        }
      }
      return transformV2({ data: frames }, req, {});
    } finally {
      (window as any).__pending--;
    }
  }
  async metricFindQuery(q: any, o: any) {
    const so = o.scopedVars?.__sceneObject?.value.valueOf();
    const s = typeof q === 'string' ? q : q.query;
    const range = o.range ? { start: o.range.from.valueOf() / 1000, end: o.range.to.valueOf() / 1000 } : {};
    let m = /^label_values\((?:([\s\S]+),\s*)?(\w+)\)\s*$/.exec(s);
    if (m) {
      const sel = m[1] ? interpolate(so, m[1]) : undefined;
      const vals = await api(`label/${m[2]}/values`, { ...(sel ? { 'match[]': sel } : {}), ...range });
      return vals.map((v: string) => ({ text: v, value: v }));
    }
    m = /^query_result\(([\s\S]+)\)\s*$/.exec(s);
    if (m) {
      const d = await api('query', {
        query: interpolate(so, m[1].replace(/\$__range/g, dur(Math.round((range.end ?? 0) - (range.start ?? 0))))),
        time: range.end,
      });
      return d.result.map((r: any) => {
        const { __name__: n, ...l } = r.metric;
        const text =
          (n ?? '') +
          '{' +
          Object.entries(l)
            .map(([k, v]) => `${k}="${v}"`)
            .join(',') +
          '} ' +
          r.value[1] +
          ' ' +
          r.value[0] * 1000;
        return { text, value: text, expandable: true };
      });
    }
    throw new Error('no such variable query: ' + s);
  }
  async testDatasource() {
    return { status: 'success', message: '' };
  }
}
sceneUtils.registerRuntimeDataSource({ dataSource: new Prom('prometheus', 'PROM') });
