// Plays a live feed with every player at once, through whatever befalls it, and says what is wrong with what viewers see.

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { withBrowser } from './lib/chromium.mjs';
import { check, run, until } from './lib/failure.mjs';
import { describe, difference, isFlat } from './lib/picture.mjs';
import { playerNames, withTestPage } from './lib/serve.mjs';
import { openViewer } from './lib/viewer.mjs';

const USAGE = `usage: node follow.mjs --dash MANIFEST --hls PLAYLIST [options]
  --players A,B        which ones (all)
  --stall-limit N      longest stop of clock or picture, in milliseconds (1000)
  --drift N            how far the distance from live may change, in seconds (0.25)
  --settle N           seconds that a player takes to its distance from live at first (4)
  --screenshots PREFIX PNGs of the pictures
Says "ready" once all play, and then takes lines:
  still NAME           wait for a picture that stays as it is, the slate
  moving NAME          wait for what came in by now to be shown; it must move, as far behind live as at first, and what
                       the page itself lost while the machine did not let it run
  back NAME            go back to the beginning of the window, and then play on from there
  end                  judge all that was seen, and end
and answers each with NAME and a line of JSON once that is so. Prints one line of JSON. Exit code 0: all well, 1: something
is wrong, with a sentence; 2: bad usage.`;

/** Longest time to the first frame, and from what comes in to its being shown. */
const START_DEADLINE = 30_000;
const SHOWN_DEADLINE = 30_000;
/** How long a picture is looked at to tell whether it moves, in milliseconds: longer than the last one stands still. */
const LOOK = 2000;
/** How far a viewer goes back at the least, and how long it plays there, in seconds: over what a player may still hold. */
const BACK = 40;
const BACK_PLAYS = 5;
/** How often the distance from live is read, for the median, and the milliseconds between. */
const READINGS = 5;
const READ_EVERY = 100;
/** Mean difference of grey values, of 255, under which it stands still: a key frame every segment looks a little different. */
const STILL = 2;

function parse() {
  const { values } = parseArgs({
    options: {
      dash: { type: 'string' },
      hls: { type: 'string' },
      players: { type: 'string', default: playerNames.join(',') },
      'stall-limit': { type: 'string', default: '1000' },
      drift: { type: 'string', default: '0.25' },
      settle: { type: 'string', default: '4' },
      screenshots: { type: 'string' },
    },
  });
  const players = values.players.split(',');
  for (const player of players) {
    if (!playerNames.includes(player)) throw new Error(`there is no player ${player}; there are ${playerNames.join(', ')}`);
  }
  const [stallLimit, drift, settle] = [Number(values['stall-limit']), Number(values.drift), Number(values.settle)];
  if (!(stallLimit > 0 && drift > 0 && settle > 0)) throw new Error('--stall-limit, --drift and --settle take numbers over 0');
  return { dash: new URL(values.dash ?? '').href, hls: new URL(values.hls ?? '').href, players, stallLimit, drift, settle, screenshots: values.screenshots };
}

const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** One viewer; what goes wrong says whose it is. */
class Seat {
  constructor(player, viewer, options, report) {
    Object.assign(this, { player, viewer, options, report });
  }

  async begin() {
    const { player, viewer, options } = this;
    const url = player === 'hlsjs' ? options.hls : options.dash;
    await viewer.call('start', { player, url, stallLimit: options.stallLimit, pictures: true });
    const started = await viewer.until((state) => state.startupMillis !== null && state.time > 0, START_DEADLINE,
      (state) => `${player}: nothing played (time ${state.time}, ${state.warnings.join('; ')})`);
    // A player settles on its distance from live first.
    await viewer.until((state) => state.time > started.time + options.settle, options.settle * 1500 + 4000,
      (state) => `${player} stood still at ${state.time} s`);
    await viewer.call('watch');
    ({ behind: this.behind, missed: this.missed } = await this.distance());
    check(this.behind !== null, `${player} knows no wall time`);
    this.report.behind = Number(this.behind.toFixed(3));
  }

  /** How far behind live it is, in seconds: one reading may come of a moment in which the page was late. */
  async distance() {
    const behinds = [];
    while (behinds.length < READINGS) {
      const { behind, missed } = await this.viewer.state();
      behinds.push(behind);
      if (behinds.length === READINGS) return { behind: behinds.sort((a, b) => a - b)[(READINGS - 1) / 2], missed };
      await pause(READ_EVERY);
    }
  }

  async look() {
    const before = await this.viewer.call('grab');
    await pause(LOOK);
    const after = await this.viewer.call('grab');
    const by = difference(before, after);
    return { moves: by > STILL, by, after, went: after.time > before.time };
  }

  async shoot(name) {
    if (this.options.screenshots) await this.viewer.page.screenshot({ path: `${this.options.screenshots}-${name}-${this.player}.png` });
  }

  async still(name) {
    let seen;
    await until(async () => {
      await this.viewer.state();
      seen = await this.look();
      return seen.went && !seen.moves;
    }, SHOWN_DEADLINE, () => `${this.player}: no slate was seen, the picture moves: ${describe(seen.after)}`);
    await this.shoot(name);
    check(!isFlat(seen.after), `${this.player}: the slate is flat: ${describe(seen.after)}`);
    return { deviation: Number(seen.after.deviation.toFixed(1)) };
  }

  async moving(name) {
    const { time, behind } = await this.viewer.state();
    const shown = time + behind;
    await this.viewer.until((state) => state.time > shown, SHOWN_DEADLINE, (state) => `${this.player}: at ${state.time} s, and not at ${shown} s`);
    let seen;
    await until(async () => {
      seen = await this.look();
      return seen.moves;
    }, 5000, () => `${this.player}: the picture does not move again: ${describe(seen.after)}`);
    await this.shoot(name);
    const { behind: now, missed: total } = await this.distance();
    const missed = total - this.missed;
    check(now - this.behind <= this.options.drift + missed && this.behind - now <= this.options.drift,
      `${this.player}: ${now.toFixed(2)} s behind after ${name}, ${this.behind.toFixed(2)} s before; the page lost ${missed.toFixed(2)} s`);
    return { behind: Number(now.toFixed(3)), motion: Number(seen.by.toFixed(2)), ...(missed > 0 ? { missed: Number(missed.toFixed(2)) } : {}) };
  }

  async back(name) {
    const { player, viewer } = this;
    await viewer.call('excuse');
    const fetched = [];
    viewer.page.on('request', (request) => {
      if (request.url().endsWith('.m4s')) fetched.push(new URL(request.url()).pathname);
    });
    const { time, reach } = await viewer.state();
    check(reach !== null && time - reach[0] > BACK, `${player}: no ${BACK} s to go back in: at ${time} s of ${JSON.stringify(reach)}`);
    // A player that is told the very beginning may find it gone.
    const target = reach[0] + 3;
    await viewer.call('seek', target);
    const there = (state) => state.time > target + 0.5 && state.time < target + 10;
    await viewer.until(there, SHOWN_DEADLINE, (state) => `${player}: at ${state.time} s after going back to ${target} s`);
    await viewer.call('watch');
    const begun = (await viewer.state()).time;
    await viewer.until((state) => state.time > begun + BACK_PLAYS, SHOWN_DEADLINE, (state) => `${player}: stood still at ${state.time} s of the past`);
    const seen = await viewer.call('grab');
    await this.shoot(name);
    check(!isFlat(seen), `${player}: the picture of the past is flat: ${describe(seen)}`);
    check(fetched.length > 0, `${player} went back without fetching anything`);
    return { from: Number((time - target).toFixed(1)), fetched: fetched.length, first: fetched[0] };
  }

  async judge() {
    const state = await this.viewer.state();
    Object.assign(this.report, { stalls: state.stalls, jumps: state.jumps, longest: state.longest, starved: state.starved, warnings: state.warnings, frames: state.total });
    const stalls = state.stalls.map((stall) => `${stall.what} for ${stall.millis} ms at ${stall.atSeconds} s`);
    check(stalls.length === 0, `${this.player} stalled: ${stalls.join(', ')}`);
    check(state.jumps.length === 0, `${this.player} jumped: ${JSON.stringify(state.jumps)}`);
  }
}

async function follow(options, report) {
  await withBrowser(async (browser) => {
    const seats = [];
    const everyone = (work) => Promise.all(seats.map(work));
    const open = async (rest) => {
      if (rest.length === 0) return converse(seats, everyone);
      const [player, ...others] = rest;
      return withTestPage(player, async (origin) => {
        report[player] = {};
        const viewer = await openViewer(browser, origin, report[player]);
        seats.push(new Seat(player, viewer, options, report[player]));
        return open(others);
      });
    };
    await open(options.players);
  });
}

async function converse(seats, everyone) {
  try {
    await everyone((seat) => seat.begin());
    process.stdout.write('ready\n');
    for await (const line of createInterface({ input: process.stdin })) {
      const [word, name] = line.trim().split(/\s+/);
      if (word === 'end') break;
      check(['still', 'moving', 'back'].includes(word) && name, `what is "${line}"?`);
      const seen = await everyone(async (seat) => [seat.player, await seat[word](name)]);
      for (const seat of seats) (seat.report.marks ??= {})[name] = Object.fromEntries(seen)[seat.player];
      process.stdout.write(`${name} ${JSON.stringify(Object.fromEntries(seen))}\n`);
    }
    await everyone((seat) => seat.judge());
  } catch (error) {
    await everyone((seat) => seat.shoot('failed').catch(() => {}));
    await everyone((seat) => seat.judge().catch(() => {}));
    throw error;
  }
}

await run(USAGE, parse, follow);
