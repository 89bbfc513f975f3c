import { defineConfig } from 'vite';
import { resolve } from 'path';
const g = (p) => resolve(__dirname, 'node_modules/@grafana', p);
// @gui, @gdata, @gprom: inner modules that Grafana's packages do not export (uPlot helpers, GraphNG, the Prometheus result transformer)
export default defineConfig({
  esbuild: { target: 'es2022', jsx: 'automatic' },
  resolve: {
    dedupe: ['react', 'react-dom'],
    alias: [
      { find: 'react-router-dom-v5-compat', replacement: 'react-router-dom' },
      { find: /^@gui\//, replacement: g('ui/dist/esm') + '/' },
      { find: /^@gdata\//, replacement: g('data/dist/esm') + '/' },
      { find: /^@gprom\//, replacement: g('prometheus/dist/esm') + '/' },
    ],
  },
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  build: { target: 'es2022', minify: false, chunkSizeWarningLimit: 30000, assetsInlineLimit: 0 },
});
