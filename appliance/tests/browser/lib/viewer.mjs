// A page that plays, and what is asked of it.

import { check, until } from './failure.mjs';

/** The page under test. */
export class Viewer {
  constructor(page) {
    this.page = page;
  }

  call(name, argument) {
    return this.page.evaluate(([method, value]) => globalThis.rungTest[method](value), [name, argument]);
  }

  /** The state, after failing on what no test excuses. */
  async state() {
    const state = await this.call('state');
    check(state.fatal.length === 0, `fatal error: ${state.fatal[0]}`);
    return state;
  }

  /** Waits for a state that `wanted` likes. */
  async until(wanted, millis, sentence) {
    let state;
    return until(async () => {
      state = await this.state();
      return wanted(state) ? state : null;
    }, millis, () => sentence(state));
  }
}

/** Opens the test page, after `prepare(page)`. The page's errors go to `report.console`. */
export async function openViewer(browser, origin, report, prepare = () => null) {
  // A context of its own is a window of its own: a page behind another one would be slowed down.
  const context = await browser.newContext({ viewport: { width: 640, height: 360 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') (report.console ??= []).push(message.text());
  });
  await prepare(page);
  await page.goto(origin);
  await page.waitForFunction(() => globalThis.rungTest !== undefined);
  return new Viewer(page);
}
