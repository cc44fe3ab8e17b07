// Plays a manifest as a viewer would and says what is wrong with what the viewer sees.

import { parseArgs } from 'node:util';

import { withBrowser } from './lib/chromium.mjs';
import { check, run, until } from './lib/failure.mjs';
import { describe, differ, difference, isFlat } from './lib/picture.mjs';
import { playerNames, withTestPage } from './lib/serve.mjs';
import { openViewer } from './lib/viewer.mjs';

const USAGE = `usage: node play.mjs --player ${playerNames.join('|')} --url MANIFEST [options]
  --seconds N          how long to watch (10)
  --live | --vod       what the manifest must be; without either it may be both
  --switch             go to the lowest rung, the highest and the lowest again; the picture must follow
  --seek               to the middle of a recording and to 2 s before its end
  --audio              there must be sound (without it: there must be if the manifest says so)
  --audio-only         there is no picture
  --start-within N     seconds to the first frame (20)
  --max-latency N      most seconds from a picture's coming in to its being shown: median of all that is watched
  --listed N           DASH: open the page, and begin when N segments of every track are listed
  --segment-delay N    milliseconds that every media segment takes longer to come, as over a real line (0)
  --stall-limit N      longest stop of clock or picture, in milliseconds (1000)
  --screenshot FILE    a PNG of the picture
Prints one line of JSON. Exit code 0: all well, 1: something is wrong, with a sentence; 2: bad usage.`;

/** How far media time may be from wall time, of 1. */
const PACE_TOLERANCE = 0.2;
/** Longest time from asking for a rung to its picture: what is buffered, and a segment. */
const SWITCH_DEADLINE = 30_000;
/** Longest time from a seek to 1 s of play. */
const SEEK_DEADLINE = 15_000;
/** Longest wait for `--listed` segments. */
const LISTED_DEADLINE = 30_000;
/** How near the end of the media playback must come, in seconds: an audio frame and a picture at 10 a second. */
const END_SLACK = 0.25;

function parse() {
  const { values } = parseArgs({
    options: {
      player: { type: 'string' },
      url: { type: 'string' },
      seconds: { type: 'string', default: '10' },
      live: { type: 'boolean', default: false },
      vod: { type: 'boolean', default: false },
      switch: { type: 'boolean', default: false },
      seek: { type: 'boolean', default: false },
      audio: { type: 'boolean', default: false },
      'audio-only': { type: 'boolean', default: false },
      'start-within': { type: 'string', default: '20' },
      'max-latency': { type: 'string' },
      listed: { type: 'string' },
      'segment-delay': { type: 'string' },
      'stall-limit': { type: 'string', default: '1000' },
      screenshot: { type: 'string' },
    },
  });
  if (!playerNames.includes(values.player)) throw new Error(`--player is one of ${playerNames.join(', ')}`);
  if (values.live && values.vod) throw new Error('--live and --vod exclude each other');
  if (values['audio-only'] && values.switch) throw new Error('--switch needs a picture');
  const number = (name) => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new Error(`--${name} takes a number over 0, not ${values[name]}`);
    return value;
  };
  return {
    ...values,
    url: new URL(values.url ?? '').href,
    seconds: number('seconds'),
    startWithin: number('start-within') * 1000,
    maxLatency: values['max-latency'] === undefined ? null : number('max-latency'),
    listed: values.listed === undefined ? null : number('listed'),
    segmentDelay: values['segment-delay'] === undefined ? null : number('segment-delay'),
    stallLimit: number('stall-limit'),
    pictures: !values['audio-only'],
  };
}

async function play(options, report) {
  Object.assign(report, { player: options.player, url: options.url });
  await withTestPage(options.player, (origin) => withBrowser(async (browser) => {
    const viewer = await openViewer(browser, origin, report, (page) => (
      options.segmentDelay === null ? null : delaySegments(page, options.segmentDelay)));
    try {
      await watch(viewer, options, report);
    } catch (error) {
      // The picture of a failure tells more than that of a success.
      if (options.screenshot) await viewer.page.screenshot({ path: options.screenshot }).catch(() => {});
      throw error;
    } finally {
      await conclude(viewer, report);
    }
  }));
}

/** Init segments and manifests come at once: what is ready before the media is what a player must cope with. */
async function delaySegments(page, millis) {
  await page.route('**/*.m4s', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, millis));
    // The page may have given it up by then.
    await route.continue().catch(() => {});
  });
}

/** How many segments every `SegmentTimeline` of an MPD has at least. */
async function listed(url) {
  const timelines = (await (await fetch(url)).text()).match(/<SegmentTimeline>.*?<\/SegmentTimeline>/gs) ?? [];
  const counts = timelines.map((timeline) => timeline.match(/<S [^>]*>/g)
    .reduce((sum, entry) => sum + 1 + Number(entry.match(/ r="(\d+)"/)?.[1] ?? 0), 0));
  return counts.length > 0 ? Math.min(...counts) : 0;
}

async function watch(viewer, options, report) {
  if (options.listed !== null) {
    await until(async () => await listed(options.url) >= options.listed, LISTED_DEADLINE,
      () => `${options.listed} segments were not listed within ${LISTED_DEADLINE / 1000} s`);
  }
  await viewer.call('start', { player: options.player, url: options.url, stallLimit: options.stallLimit, pictures: options.pictures });
  const started = await viewer.until((state) => state.startupMillis !== null && state.time > 0, options.startWithin,
    (state) => `nothing played within ${options.startWithin / 1000} s (${report.console?.[0] ?? `time ${state.time}, warnings: ${state.warnings.join('; ') || 'none'}`})`);
  // A player settles on its live edge in its first second, which may be a jump.
  await viewer.until((state) => state.time > started.time + 1, 5000, (state) => `it started and then stood still at ${state.time} s`);
  const first = await viewer.state();
  check(!options.live || first.live === true, 'the manifest is not live');
  check(!options.vod || first.live === false, 'the manifest is not a recording');
  await viewer.call('watch');

  if (options.pictures) await pictureMoves(viewer, report);
  await soundDecodes(viewer, options, first, report);
  if (options.switch) await switches(viewer, report);
  await viewer.until((state) => state.expected >= options.seconds || state.ended, options.seconds * 3000 + 10_000,
    (state) => `watched ${state.expected.toFixed(1)} s of ${options.seconds} s only`);
  report.behind = await viewer.call('behindSoFar');
  if (options.screenshot) await viewer.page.screenshot({ path: options.screenshot });
  steady(await viewer.state(), options, report);
  if (options.seek) await seekRecording(viewer, options);
}

async function pictureMoves(viewer, report) {
  const { width, height } = await viewer.until((state) => state.width > 0 && state.height > 0, 5000,
    (state) => `the video's size is ${state.width}x${state.height}`);
  check(width > 0 && height > 0, 'the player names no size');
  const before = await viewer.call('grab');
  check(!isFlat(before), `the picture is flat or black: ${describe(before)}`);
  let after = before;
  await until(async () => {
    after = await viewer.call('grab');
    return after.time > before.time + 0.5 && differ(before, after);
  }, 6000, () => `the picture does not move: ${describe(before)}, ${describe(after)}`);
  report.motion = Number(difference(before, after).toFixed(2));
}

async function soundDecodes(viewer, options, first, report) {
  report.hasAudio = Boolean(first.audio);
  check(first.audio || !(options.audio || options['audio-only']), 'the player found no sound');
  if (!first.audio) return;
  await viewer.until((state) => state.audioBytes > first.audioBytes, 5000,
    (state) => `no sound is decoded: ${state.audioBytes} bytes after ${(state.time - first.time).toFixed(1)} s`);
}

async function switches(viewer, report) {
  const { rungs } = await viewer.state();
  const sorted = [...rungs].sort((a, b) => a.bandwidth - b.bandwidth);
  const [lowest, highest] = [sorted[0], sorted.at(-1)];
  check(sorted.length > 1 && highest.height > lowest.height, `there is nothing to switch between: ${JSON.stringify(sorted)}`);
  report.rungs = sorted.map(({ width, height, bandwidth }) => `${width}x${height}@${bandwidth}`);
  for (const rung of [lowest, highest, lowest]) {
    await viewer.call('choose', rung.id);
    const reached = await viewer.until((state) => state.width === rung.width && state.height === rung.height, SWITCH_DEADLINE,
      (state) => `asked for ${rung.width}x${rung.height}, still ${state.width}x${state.height} after ${SWITCH_DEADLINE / 1000} s`);
    // The new rung must go on playing, not only show its first picture.
    await viewer.until((state) => state.time > reached.time + 2 && state.frames > reached.frames + 5, 8000,
      (state) => `stood still at ${state.time} s after switching to ${rung.height} lines`);
    const grab = await viewer.call('grab');
    check(!isFlat(grab), `the picture of ${rung.width}x${rung.height} is flat or black: ${describe(grab)}`);
  }
}

const inTime = ({ behind }, { maxLatency }) => maxLatency === null || (Boolean(behind) && behind.median <= maxLatency);

function steady(state, options, report) {
  check(state.stalls.length === 0, `stalled: ${state.stalls.map((stall) => `${stall.what} for ${stall.millis} ms at ${stall.atSeconds} s`).join(', ')}`);
  const pace = state.advanced / state.expected;
  check(Math.abs(pace - 1) <= PACE_TOLERANCE, `media time went ${pace.toFixed(2)} times as fast as it should`);
  check(inTime(report, options), `${report.behind?.median} s from coming in to being shown, over ${options.maxLatency} s`);
}

async function seekRecording(viewer, options) {
  await viewer.call('excuse');
  const { duration } = await viewer.state();
  check(duration > 4, `a recording of ${duration} s is too short to seek in`);
  const middle = duration / 2;
  await viewer.call('seek', middle);
  await playsFrom(viewer, options, middle);
  await viewer.call('seek', duration - 2);
  await viewer.until((state) => state.ended || state.time > duration - END_SLACK, SEEK_DEADLINE,
    (state) => `did not play to the end after seeking to ${duration - 2} s: at ${state.time} of ${duration} s`);
}

async function playsFrom(viewer, options, target) {
  const { frames } = await viewer.state();
  const state = await viewer.until((now) => now.time > target + 1 && (!options.pictures || now.frames > frames + 5), SEEK_DEADLINE,
    (now) => `did not play after seeking to ${target.toFixed(2)} s: at ${now.time} s, ${now.frames - frames} frames`);
  check(state.time < target + SEEK_DEADLINE / 1000 + 1, `seeking to ${target} s went to ${state.time} s`);
  if (!options.pictures) return;
  const grab = await viewer.call('grab');
  check(!isFlat(grab), `the picture after a seek is flat or black: ${describe(grab)}`);
}

/** What is known at the end goes into the report, whether it went well or not. */
async function conclude(viewer, report) {
  const state = await viewer.call('state').catch(() => null);
  if (!state) return;
  Object.assign(report, {
    startupMillis: state.startupMillis,
    latencySeconds: state.latency === null ? null : Number(state.latency.toFixed(2)),
    pace: state.expected > 0 ? Number((state.advanced / state.expected).toFixed(3)) : null,
    stalls: state.stalls,
    starved: state.starved,
    switches: Math.max(0, state.sizes.length - 1),
    resolutions: [...new Set(state.sizes)],
    errors: state.fatal,
    warnings: state.warnings,
    frames: state.total,
    droppedFrames: state.dropped,
    audioBytes: state.audioBytes,
  });
}

await run(USAGE, parse, play);
