// Headless Chromium, the system's own.

import { chromium } from 'playwright-core';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** Runs `work(browser)` and closes the browser whatever happens. `CHROMIUM` names another binary. */
export async function withBrowser(work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ARGUMENTS,
    timeout: 60_000,
  });
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}
