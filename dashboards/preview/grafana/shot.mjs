// Draws a page of the viewer at its full height: node shot.mjs OUT.png URL [WIDTH]
// Fails if a query failed.
import puppeteer from 'puppeteer-core';

const [out, url, width = '1600'] = process.argv.slice(2);
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars --force-prefers-reduced-motion';
const browser = await puppeteer.launch({ executablePath: '/usr/bin/chromium', headless: true, args: flags.split(' ') });
try {
  const page = await browser.newPage();
  const size = (height) => page.setViewport({ width: +width, height, deviceScaleFactor: 1 });
  // Quiet for one and a half seconds: no query is under way.
  const settled = async () => {
    for (let tries = 0, quiet = 0; tries < 600 && quiet < 6; tries++) {
      await new Promise((done) => setTimeout(done, 250));
      const [pending, answered] = await page.evaluate(() => [window.__pending ?? 1, (window.__panels ?? []).length]);
      quiet = pending === 0 && answered > 0 ? quiet + 1 : 0;
    }
  };
  page.on('pageerror', (error) => console.log(`error in the page: ${String(error).slice(0, 600)}`));
  await size(1200);
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  await settled();
  // Panels below the fold ask only when they are seen.
  await size(await page.evaluate(() => Math.ceil(document.querySelector('.react-grid-layout').getBoundingClientRect().bottom + 24)));
  await settled();
  await new Promise((done) => setTimeout(done, 1000));
  await page.screenshot({ path: out });
  const { failed, empty } = await page.evaluate(() => ({
    failed: window.__errs,
    empty: window.__panels.filter((query) => !query.series).map((query) => `${query.panel} ${query.refId}`),
  }));
  if (empty.length) console.log(`empty: ${[...new Set(empty)].join(', ')}`);
  if (failed.length) {
    console.log(failed.join('\n'));
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
