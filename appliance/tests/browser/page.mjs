// Opens the operator's page as an operator would, at phone and desktop width, and says what is wrong with it.

import { parseArgs } from 'node:util';

import { withBrowser } from './lib/chromium.mjs';
import { check, Failure, run, until } from './lib/failure.mjs';
import { describe, differ, isFlat } from './lib/picture.mjs';

const USAGE = `usage: node page.mjs --url PAGE --screenshots PREFIX [options]
  --feed NAME          select this feed (without it: the page's own choice)
  --recording          play the newest ended recording too
  --idle               no feed is on air: nothing has to play
  --start-within N     seconds to a moving picture (30)
  --expect TEXT        this text is shown, too; may be given again
  --screens A,B        these of phone, phone-dark, desktop, desktop-dark (all)
Writes PREFIX-SCREEN.png for each screen. Prints one line of JSON. Exit code 0: all well,
1: something is wrong, with a sentence; 2: bad usage.`;

const SCREENS = [
  { name: 'phone', width: 390, height: 844, scheme: 'light' },
  { name: 'phone-dark', width: 390, height: 844, scheme: 'dark' },
  { name: 'desktop', width: 1280, height: 800, scheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 800, scheme: 'dark' },
];
/** The picture as it is compared, in pixels. */
const GRAB = { width: 160, height: 90 };
/** Seconds of play after which a player counts as playing. */
const PLAYED = 2;

function parse() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      feed: { type: 'string' },
      recording: { type: 'boolean', default: false },
      idle: { type: 'boolean', default: false },
      'start-within': { type: 'string', default: '30' },
      screenshots: { type: 'string' },
      expect: { type: 'string', multiple: true, default: [] },
      screens: { type: 'string' },
    },
  });
  if (!values.screenshots) throw new Error('--screenshots takes a prefix for file names');
  const startWithin = Number(values['start-within']) * 1000;
  if (!(startWithin > 0)) throw new Error(`--start-within takes a number over 0, not ${values['start-within']}`);
  const names = values.screens?.split(',') ?? SCREENS.map((screen) => screen.name);
  const screens = names.map((name) => SCREENS.find((screen) => screen.name === name));
  if (screens.includes(undefined)) throw new Error(`--screens takes names of screens, not ${values.screens}`);
  const url = new URL(values.url ?? '');
  if (values.feed) url.hash = new URLSearchParams({ feed: values.feed }).toString();
  return { ...values, url: url.href, startWithin, screens };
}

async function look(options, report) {
  Object.assign(report, { url: options.url, screens: {} });
  await withBrowser(async (browser) => {
    for (const screen of options.screens) {
      report.screens[screen.name] = {};
      try {
        await lookAt(browser, screen, options, report.screens[screen.name]);
      } catch (error) {
        if (error instanceof Failure) error.message = `${screen.name}: ${error.message}`;
        throw error;
      }
    }
  });
}

async function lookAt(browser, screen, options, report) {
  const context = await browser.newContext({
    viewport: { width: screen.width, height: screen.height }, colorScheme: screen.scheme, ignoreHTTPSErrors: true,
  });
  const page = await context.newPage();
  const faults = listen(page, new URL(options.url).origin);
  await page.addInitScript(() => {
    globalThis.policyViolations = [];
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.policyViolations.push(`${event.effectiveDirective} refused ${event.blockedURI || 'inline'} at ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  const begun = performance.now();
  try {
    const answer = await page.goto(options.url);
    check(answer?.ok(), `the page answered ${answer?.status()}`);
    check(answer.headers()['content-security-policy'], 'the page comes without a content security policy');
    await page.waitForSelector('#link-state[data-state="ok"]', { timeout: 10_000 }).catch(() => {
      throw new Failure('the page did not get an answer from the daemon');
    });
    await shows(page, options, report);
    if (!options.idle) report.figures = await moves(page, options);
    report.readyMillis = Math.round(performance.now() - begun);
    await fits(page, screen);
    await page.screenshot({ path: `${options.screenshots}-${screen.name}.png` });
    if (options.recording) await playsRecording(page, options);
  } catch (error) {
    await page.screenshot({ path: `${options.screenshots}-${screen.name}.png` }).catch(() => {});
    if (error instanceof Failure && faults.length > 0) error.message += ` (${faults[0]})`;
    throw error;
  }
  const violations = await page.evaluate(() => globalThis.policyViolations);
  check(violations.length === 0, `against the content security policy: ${violations[0]}`);
  check(faults.length === 0, `${faults.length} faults in the console or the network: ${faults.join('; ')}`);
  await context.close();
}

/** Collects what an operator would see in the browser's console, and anything asked of another host. */
function listen(page, origin) {
  const faults = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(`uncaught: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`a dialog opened: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (/^https?:$/.test(url.protocol) && url.origin !== origin) faults.push(`asked another host: ${url.href}`);
  });
  return faults;
}

/** The page's figures are there. */
async function shows(page, options, report) {
  const read = () => page.evaluate(() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? '';
    return {
      feeds: document.querySelectorAll('.feed').length,
      title: text('#stage-title'),
      state: document.querySelector('#stage-pill')?.getAttribute('data-state'),
      rungs: [...document.querySelectorAll('#rungs tr')].map((row) => [...row.children].map((cell) => cell.textContent).join(' | ')),
      links: [...document.querySelectorAll('#links a')].map((link) => link.href),
      encoder: text('#publisher'),
    };
  });
  const shown = await until(async () => {
    const now = await read();
    const complete = options.idle || (now.state === 'live' && now.rungs.length > 0);
    return now.feeds > 0 && now.links.length === 2 && complete ? now : null;
  }, options.startWithin, async () => `the page shows no feed on air: ${JSON.stringify(await read())}`);
  Object.assign(report, shown);
  for (const wanted of options.expect) {
    const text = () => page.evaluate(() => document.body.innerText);
    await until(async () => (await text()).includes(wanted), 10_000, async () => `the page does not say "${wanted}" but: ${await text()}`);
  }
}

/** The player's picture moves, is not flat, and the figures under it are filled in. */
async function moves(page, options) {
  const state = () => page.evaluate(() => {
    const video = document.getElementById('video');
    return { time: video.currentTime, width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames, overlay: document.getElementById('overlay-title').textContent };
  });
  const first = await until(async () => {
    const now = await state();
    return now.width > 0 && now.frames > 0 ? now : null;
  }, options.startWithin, async () => `nothing plays: ${JSON.stringify(await state())}`);
  const before = await grab(page);
  await until(async () => {
    const now = await state();
    return now.time > first.time + PLAYED && now.frames > first.frames + 10;
  }, 10_000, async () => `the player stood still: ${JSON.stringify(first)}, then ${JSON.stringify(await state())}`);
  const after = await grab(page);
  check(!isFlat(after), `the picture is flat or black: ${describe(after)}`);
  check(differ(before, after), `the picture does not move: ${describe(before)}, ${describe(after)}`);
  const figures = await page.evaluate(() => ['latency', 'buffer', 'rung'].map((name) => document.getElementById(`stat-${name}`).textContent));
  check(!figures.slice(1).includes('–'), `a figure under the picture is missing: ${figures}`);
  return figures;
}

function grab(page) {
  return page.evaluate(({ width, height }) => {
    const video = document.getElementById('video');
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const grey = [];
    for (let i = 0; i < data.length; i += 4) grey.push(Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]));
    const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length;
    const deviation = Math.sqrt(grey.reduce((sum, value) => sum + (value - mean) ** 2, 0) / grey.length);
    return { grey, mean, deviation, time: video.currentTime };
  }, GRAB);
}

/** Nothing is wider than the screen, and every control can be told by a screen reader. */
async function fits(page, screen) {
  const { width, nameless } = await page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    nameless: [...document.querySelectorAll('button, a, select, input')]
      .filter((control) => control.checkVisibility())
      .filter((control) => !(control.getAttribute('aria-label') || control.textContent.trim() || control.labels?.length))
      .map((control) => control.outerHTML.slice(0, 80)),
  }));
  check(width <= screen.width, `the page is ${width} pixels wide on a screen of ${screen.width}`);
  check(nameless.length === 0, `a control has no name: ${nameless[0]}`);
}

async function playsRecording(page, options) {
  const buttons = page.locator('.recording-play:has(.recording-badge:not([data-live]))');
  await until(() => buttons.count(), 10_000, () => 'the page lists no recording that has ended');
  await buttons.first().click();
  await page.waitForSelector('#stage-pill[data-state="recording"]', { timeout: 5000 }).catch(() => {
    throw new Failure('the recording did not come on the stage');
  });
  check(new URL(page.url()).hash.startsWith('#recording='), `the address does not name the recording: ${page.url()}`);
  await moves(page, options);
}

await run(USAGE, parse, look);
