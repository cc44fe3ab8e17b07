// Everything about the selected feed but its picture.

import { absolute } from './api.js';
import { byId, copyButton, facts, keyed, make, setAttribute, setShown, setText } from './dom.js';
import { bitRate, channels, frameRate, size, span, timeOfDay, whole } from './format.js';

/** Samples of the source's bit rate that are kept for the curve: two minutes at one a second. */
const CURVE_SAMPLES = 120;

const curves = new Map();

/** Remembers one sample of each feed's incoming bit rate. */
export function remember(feeds) {
  for (const name of curves.keys()) {
    if (!feeds.some((feed) => feed.name === name)) curves.delete(name);
  }
  for (const feed of feeds) {
    const curve = curves.get(feed.name) ?? [];
    if (feed.source) curve.push(feed.source.bit_rate ?? 0);
    else curve.length = 0;
    curves.set(feed.name, curve.slice(-CURVE_SAMPLES));
  }
}

/** Shows publisher, source, rungs and how to publish. `now` is the daemon's time in milliseconds since 1970. */
export function showDetail(feed, servers, now) {
  const publisher = feed.publisher;
  setShown(byId('publisher-panel'), Boolean(publisher));
  if (publisher) {
    facts(byId('publisher'), [
      ['Address', publisher.address],
      ['Encoder', publisher.encoder],
      ['Transport', publisher.tls === undefined ? null : publisher.tls ? 'RTMPS (TLS)' : 'RTMP, not encrypted', publisher.tls === false ? 'warn' : null],
      ['Since', sinceText(publisher.since_unix_millis, now)],
      ['Device', feed.worker ? feed.worker.device : null],
      ['Worker', feed.worker ? [feed.worker.build, feed.worker.pid ? `pid ${feed.worker.pid}` : null].filter(Boolean).join(', ') : null],
    ]);
  }
  showSource(feed);
  showRungs(feed);
  setShown(byId('publish-panel'), feed.state === 'idle' && !publisher);
  showPublish(byId('publish'), servers);
}

function sinceText(since, now) {
  const time = timeOfDay(since);
  return time ? `${time}, for ${span(now - since)}` : null;
}

function showSource(feed) {
  const source = feed.source;
  setShown(byId('source-panel'), Boolean(source));
  if (!source) return;
  drawCurve(curves.get(feed.name) ?? []);
  const count = (value) => [value > 0 ? whole(value) : null, 'warn'];
  facts(byId('source'), [
    ['Bit rate', bitRate(source.bit_rate)],
    ['Video', source.video_codec
      ? [source.video_codec, size(source.width, source.height), frameRate(source.frame_rate)].filter(Boolean).join(', ')
      : 'none'],
    ['Interlaced', source.deinterlacing ? 'yes, deinterlaced here' : null],
    ['Audio', source.audio_codec
      ? [source.audio_codec, source.sample_rate ? `${source.sample_rate / 1000} kHz` : null, channels(source.channels), source.sound_converted ? 'converted' : null].filter(Boolean).join(', ')
      : 'none'],
    ['Key frames', source.key_frame_interval_millis > 0 ? `every ${(source.key_frame_interval_millis / 1000).toFixed(1)} s` : null],
    ['Decode errors', ...count(source.decode_errors)],
    ['Frames repeated', ...count(source.frames_repeated)],
    ['Pictures dropped', ...count(source.pictures_dropped)],
    ['Time jumps bridged', ...count(source.timestamp_jumps)],
  ]);
}

function drawCurve(samples) {
  const shown = samples.length > 1;
  byId('spark').toggleAttribute('hidden', !shown);
  if (!shown) return;
  const top = Math.max(...samples, 1) * 1.15;
  const points = samples.map((sample, i) => {
    const x = 120 - ((samples.length - 1 - i) * 120) / (CURVE_SAMPLES - 1);
    return `${x.toFixed(1)} ${(31 - (sample / top) * 30).toFixed(1)}`;
  });
  const left = points[0].split(' ')[0];
  setAttribute(byId('spark-line'), 'd', `M${points.join('L')}`);
  setAttribute(byId('spark-area'), 'd', `M${left} 32L${points.join('L')}L120 32Z`);
}

function showRungs(feed) {
  const rungs = feed.rungs ?? [];
  byId('rungs').closest('table').hidden = rungs.length === 0;
  setShown(byId('rungs-empty'), rungs.length === 0);
  keyed(byId('rungs'), rungs, (rung) => rung.name, rungRow);
}

function rungRow() {
  const name = make('th', { scope: 'row', 'data-label': 'Rung' });
  const picture = make('span', { class: 'picture' });
  const frames = make('span', { class: 'quiet' });
  const measured = make('strong');
  const configured = make('span', { class: 'quiet' });
  const fill = make('span', { class: 'meter-fill' });
  const rate = make('td', { 'data-label': 'Bit rate' },
    make('span', { class: 'rate' }, measured, ' ', configured), make('span', { class: 'meter', 'aria-hidden': 'true' }, fill));
  const ratio = make('span', { class: 'ratio' });
  const speed = make('td', { 'data-label': 'Speed' }, ratio);
  const queue = make('td', { 'data-label': 'Queue', class: 'number' });
  const latency = make('td', { 'data-label': 'Delay', class: 'number' });
  const pictures = make('td', { 'data-label': 'Frames', class: 'number' });
  const node = make('tr', {}, name, make('td', { 'data-label': 'Picture' }, picture, ' ', frames), rate, speed, queue, latency, pictures);
  return {
    node,
    update(rung) {
      setText(name, rung.name);
      setText(picture, size(rung.width, rung.height) ?? '–');
      setText(frames, frameRate(rung.frame_rate));
      setText(measured, bitRate(rung.measured_bit_rate) ?? '–');
      setText(configured, rung.bit_rate > 0 ? `of ${bitRate(rung.bit_rate)}` : '');
      const share = rung.bit_rate > 0 ? Math.min(1, (rung.measured_bit_rate ?? 0) / rung.bit_rate) : 0;
      fill.style.setProperty('--share', `${(share * 100).toFixed(1)}%`);
      showRatio(ratio, rung.real_time_ratio);
      setAttribute(node, 'data-slow', rung.real_time_ratio < 1 && rung.real_time_ratio !== null ? '' : null);
      setText(queue, whole(rung.queue_depth) ?? '–');
      setText(latency, rung.latency_millis === undefined ? '–' : `${whole(rung.latency_millis)} ms`);
      setText(pictures, whole(rung.pictures_out) ?? '–');
    },
  };
}

/** Under 1 the encoder falls behind; under 1.2 it has next to nothing left. */
function showRatio(node, ratio) {
  if (typeof ratio !== 'number') {
    setText(node, 'measuring');
    setAttribute(node, 'data-tone', 'quiet');
    return;
  }
  const times = `${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(2)}×`;
  setText(node, ratio < 1 ? `${times} too slow` : times);
  setAttribute(node, 'data-tone', ratio < 1 ? 'bad' : ratio < 1.2 ? 'warn' : 'good');
}

/** Tells how to publish. Without servers from the daemon the page can only guess the host. */
export function showPublish(box, servers) {
  const known = servers.map((server) => server.replace('//0.0.0.0', `//${location.hostname}`).replace('//[::]', `//${location.hostname}`));
  const shown = known.length > 0 ? known : [`rtmps://${location.hostname}:PORT/live`];
  const state = JSON.stringify(shown);
  if (box.dataset.state === state) return;
  box.dataset.state = state;
  box.replaceChildren(
    make('p', { class: 'quiet' }, 'In OBS: Settings, Stream, Service “Custom…”. Any RTMP encoder takes the same two values.'),
    ...shown.map((server) => linkRow('Server', server, false)),
    known.length > 0 ? null : make('p', { class: 'quiet' }, 'The port is that of ', make('code', {}, 'ingest.rtmps'), ' in rungd.toml.'),
    make('div', { class: 'link-row' }, make('span', { class: 'link-label' }, 'Key'), make('span', { class: 'link-value' },
      'the stream key of this feed; ', make('code', {}, 'rungd keys'), ' makes a new one')),
  );
}

function linkRow(label, text, isLink) {
  return make('div', { class: 'link-row' },
    make('span', { class: 'link-label' }, label),
    isLink ? make('a', { class: 'link-value', href: text }, text) : make('code', { class: 'link-value' }, text),
    copyButton(`${label} address`, () => text));
}

/** Shows the manifests' addresses of a feed or a recording. */
export function showLinks(box, dashUrl, hlsUrl) {
  const links = [['DASH', absolute(dashUrl)], ['HLS', absolute(hlsUrl)]].filter(([, url]) => url);
  keyed(box, links, (link) => link.join(), ([label, url]) => ({ node: linkRow(label, url, true), update() {} }));
}
