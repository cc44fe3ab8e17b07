// The operator's page: asks the daemon every second and shows what it says.
//
// api.js asks; feeds.js, detail.js, machine.js and recordings.js show; player.js plays, controls.js is the bar under it; dom.js and
// format.js serve them all. What is selected stands in the address (`#feed=…`, `#recording=…`), so it can be shared.

import { devices as askDevices, feeds as askFeeds, health as askHealth, presentations as askPresentations, Poll } from './api.js';
import { Controls } from './controls.js';
import { remember, showDetail, showLinks, showPublish } from './detail.js';
import { byId, setAttribute, setShown, setText } from './dom.js';
import { showFeeds, showState, slowRungs } from './feeds.js';
import { date, sentence, span } from './format.js';
import { showDevices, showHealth } from './machine.js';
import { Player } from './player.js';
import { showRecordings } from './recordings.js';

/** Between two questions for feeds, in milliseconds. */
const FEEDS_PERIOD = 1000;
/** Between two questions for recordings, in milliseconds; a feed that changes state asks at once. */
const RECORDINGS_PERIOD = 5000;
/** Between two questions for the machine's health and devices, in milliseconds. */
const MACHINE_PERIOD = 3000;
/** Between two looks at the player, in milliseconds. */
const PLAYER_PERIOD = 400;

const page = {
  feeds: null,
  servers: [],
  presentations: null,
  machine: null,
  clockOffset: 0,
  answeredAt: null,
  tryAgainAt: 0,
  phase: 'empty',
  sentence: null,
};

const player = new Player(byId('video'), (phase, sentence = null) => {
  page.phase = phase;
  page.sentence = sentence;
  showStage();
});
const controls = new Controls(player);

const feedsPoll = new Poll(async () => {
  const before = statesOf(page.feeds);
  const answer = await askFeeds();
  page.feeds = answer.feeds;
  page.servers = answer.servers;
  if (answer.serverTime !== null) page.clockOffset = answer.serverTime - Date.now();
  page.answeredAt = performance.now();
  page.tryAgainAt = 0;
  remember(answer.feeds);
  show();
  if (before !== statesOf(page.feeds)) recordingsPoll.now();
}, FEEDS_PERIOD, (_, pause) => {
  page.tryAgainAt = performance.now() + pause;
  showConnection();
});

const recordingsPoll = new Poll(async () => {
  page.presentations = await askPresentations();
  if (page.feeds) show();
}, RECORDINGS_PERIOD, () => {
  // The feeds' own poll tells of a daemon that does not answer.
});

const machinePoll = new Poll(async () => {
  showHealth(await askHealth());
  page.machine = await askDevices();
  if (page.feeds) showDevices(page.machine, page.feeds);
}, MACHINE_PERIOD, () => {
  // As above.
});

/** On air, with a source or with the slate. */
const isLive = (feed) => feed.state === 'live' || feed.state === 'slate';

function statesOf(feeds) {
  return (feeds ?? []).map((feed) => `${feed.name}:${feed.state}:${feed.presentation}`).join();
}

function selection() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const recording = page.presentations?.find((presentation) => String(presentation.id) === parameters.get('recording'));
  if (recording) return { recording, feed: page.feeds.find((feed) => feed.name === recording.feed) ?? page.feeds[0] };
  const named = page.feeds.find((feed) => feed.name === parameters.get('feed'));
  // Without a choice, the feed that is on air is what the operator came for.
  return { recording: null, feed: named ?? page.feeds.find((feed) => isLive(feed)) ?? page.feeds[0] };
}

function choose(kind, value) {
  location.hash = new URLSearchParams({ [kind]: value }).toString();
}

function show() {
  const none = page.feeds.length === 0;
  setShown(byId('first-run'), none);
  setShown(byId('layout'), !none);
  showConnection();
  const live = page.feeds.filter(isLive).length;
  setText(byId('summary'), none ? '' : `${live} of ${page.feeds.length} on air`);
  if (none) {
    player.stop();
    showPublish(byId('first-run-publish'), page.servers);
    return;
  }
  const { feed, recording } = selection();
  showFeeds(page.feeds, recording ? null : feed.name, (name) => choose('feed', name));
  showDetail(feed, page.servers, Date.now() + page.clockOffset);
  showDevices(page.machine, page.feeds);
  const subject = recording ?? feed;
  showLinks(byId('links'), subject.dash_url, subject.hls_url);
  showRecordings(page.presentations ?? [], () => (selection().recording ? String(selection().recording.id) : ''), (presentation) => {
    choose('recording', presentation.id);
    byId('main').scrollIntoView({ block: 'start', behavior: 'smooth' });
  });
  setAttribute(document.body, 'data-mode', recording ? 'recording' : 'feed');
  // The address may name a recording that is not known yet; no other picture is to be shown before it.
  if (recording || page.presentations || !location.hash.includes('recording=')) play(feed, recording);
  showStage();
}

function play(feed, recording) {
  if (recording) {
    player.play({ key: `recording ${recording.id}`, dashUrl: recording.dash_url, hlsUrl: recording.hls_url, live: Boolean(recording.live) });
    return;
  }
  const key = `feed ${feed.name} ${feed.presentation ?? ''}`;
  const onAir = isLive(feed) || feed.state === 'ending';
  if (isLive(feed)) player.play({ key, dashUrl: feed.dash_url, hlsUrl: feed.hls_url, live: true });
  // What is left of a feed that has gone may be seen to its end; anything else has no business on the stage.
  else if (player.what?.key !== key || (!onAir && page.phase !== 'playing')) player.stop();
}

function showStage() {
  if (!page.feeds?.length) return;
  const { feed, recording } = selection();
  const title = recording ? recording.title || recording.feed || String(recording.id) : feed.title || feed.name;
  setText(byId('stage-title'), title);
  document.title = `${title} – rungd`;
  const pill = byId('stage-pill');
  if (recording) {
    setText(pill, date(recording.availability_start_unix_millis) ?? 'Recording');
    setAttribute(pill, 'data-state', 'recording');
  } else {
    showState(pill, feed.state);
  }
  setShown(byId('stage-back'), Boolean(recording));
  const slow = recording ? [] : slowRungs(feed).map((rung) => rung.name);
  const problem = recording ? null : sentence(feed.problem)
    || (slow.length > 0 ? `This machine encodes ${slow.join(', ')} slower than real time: viewers will stall.` : null);
  setShown(byId('problem'), Boolean(problem));
  setText(byId('problem'), problem);
  showOverlay(feed, recording);
}

function showOverlay(feed, recording) {
  const { title, text, spins, action } = overlay(feed, recording);
  setShown(byId('overlay'), title !== null);
  setText(byId('overlay-title'), title);
  setText(byId('overlay-text'), text);
  setShown(byId('overlay-spinner'), Boolean(spins));
  const button = byId('overlay-action');
  setShown(button, Boolean(action));
  setText(button, action?.[0]);
  button.onclick = action?.[1] ?? null;
  setAttribute(byId('player'), 'data-covered', title === null ? null : '');
  const soundOnly = title === null && !recording && feed.source && !feed.source.video_codec;
  setAttribute(byId('player'), 'data-sound-only', soundOnly ? '' : null);
}

function overlay(feed, recording) {
  if (page.phase === 'playing') return { title: null };
  if (page.phase === 'retrying') return { title: page.sentence, text: 'Trying again.', spins: true };
  if (page.phase === 'failed') return { title: page.sentence, text: '', action: ['Try again', () => player.again()] };
  if (page.phase === 'ended') {
    return { title: recording ? 'The end' : 'The feed has gone off air', text: '', action: ['Play again', () => player.again()] };
  }
  if (page.phase === 'loading') return { title: 'Loading the picture', text: '', spins: true };
  if (feed.state === 'starting') return { title: 'Starting', text: 'The publisher is accepted; the first pictures are on their way.', spins: true };
  const last = page.presentations?.find((presentation) => presentation.feed === feed.name && !presentation.live);
  return {
    title: 'Off air',
    text: 'Nobody publishes to this feed now.',
    action: last ? ['Play the last recording', () => choose('recording', last.id)] : null,
  };
}

function showConnection() {
  const lost = page.tryAgainAt > 0;
  const now = performance.now();
  setShown(byId('banner'), lost);
  setAttribute(document.body, 'data-stale', lost && page.answeredAt !== null ? '' : null);
  setAttribute(byId('link-state'), 'data-state', lost ? 'lost' : page.answeredAt === null ? 'waiting' : 'ok');
  setText(byId('link-text'), lost ? 'Not connected' : page.answeredAt === null ? 'Connecting' : 'Connected');
  if (!lost) return;
  const old = page.answeredAt === null ? '' : ` These figures are ${span(now - page.answeredAt)} old.`;
  setText(byId('banner-text'), `rungd does not answer.${old}`);
}

byId('banner-retry').addEventListener('click', () => feedsPoll.now());
byId('stage-back').addEventListener('click', () => choose('feed', selection().feed.name));
addEventListener('hashchange', () => page.feeds && show());
setInterval(() => {
  controls.update();
  showConnection();
}, PLAYER_PERIOD);
feedsPoll.now();
recordingsPoll.now();
machinePoll.now();
