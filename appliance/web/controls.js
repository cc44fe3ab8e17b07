// The bar under the picture.

import { byId, make, setAttribute, setIcon, setShown, setText } from './dom.js';
import { bitRate, clock, size, whole } from './format.js';

/** Steps of the position slider. */
const STEPS = 1000;
/** How far the arrow keys move in a recording, in seconds. */
const KEY_STEP = 5;

/** Wires the bar to a player; `update()` is to be called a few times a second. */
export class Controls {
  #player;
  #video = byId('video');
  #box = byId('player');
  #seek = byId('control-seek');
  #select = byId('control-rung');
  #offered = '';
  #dragging = false;

  constructor(player) {
    this.#player = player;
    byId('control-play').addEventListener('click', () => this.#toggle());
    byId('control-mute').addEventListener('click', () => this.#toggleSound());
    byId('control-full').addEventListener('click', () => this.#toggleFull());
    byId('control-live').addEventListener('click', () => player.seekToLive());
    this.#video.addEventListener('click', () => this.#toggle());
    this.#video.addEventListener('dblclick', () => this.#toggleFull());
    for (const event of ['play', 'pause', 'volumechange']) {
      this.#video.addEventListener(event, () => this.update());
    }
    this.#select.addEventListener('change', () => player.setRung(this.#select.value));
    this.#seek.addEventListener('input', () => {
      this.#dragging = true;
      this.#seekTo(this.#seek.value / STEPS);
    });
    this.#seek.addEventListener('change', () => {
      this.#dragging = false;
    });
    this.#box.addEventListener('keydown', (event) => this.#key(event));
  }

  #toggle() {
    if (!this.#player.what) return;
    if (!this.#video.paused) this.#video.pause();
    else if (this.#video.ended) this.#player.again();
    else this.#video.play().catch(() => {});
  }

  #toggleSound() {
    this.#video.muted = !this.#video.muted;
    if (!this.#video.muted && this.#video.volume === 0) this.#video.volume = 1;
  }

  #toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    else if (this.#box.requestFullscreen) this.#box.requestFullscreen().catch(() => {});
    else this.#video.webkitEnterFullscreen?.();
  }

  #seekTo(share) {
    const window = this.#player.stats().window;
    if (window) this.#video.currentTime = window.start + share * (window.end - window.start);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === this.#select) return;
    const onButton = event.target.closest('button') !== null;
    if (event.key === 'm') this.#toggleSound();
    else if (event.key === 'f') this.#toggleFull();
    else if ((event.key === ' ' && !onButton) || event.key === 'k') this.#toggle();
    else if (event.target !== this.#seek && event.key === 'ArrowLeft') this.#video.currentTime -= KEY_STEP;
    else if (event.target !== this.#seek && event.key === 'ArrowRight') this.#video.currentTime += KEY_STEP;
    else return;
    event.preventDefault();
  }

  /** Shows where the player stands. */
  update() {
    const video = this.#video;
    const stats = this.#player.stats();
    const play = byId('control-play');
    setIcon(play, video.paused ? 'play' : 'pause');
    setAttribute(play, 'aria-label', video.paused ? 'Play' : 'Pause');
    const mute = byId('control-mute');
    setIcon(mute, video.muted ? 'muted' : 'sound');
    setAttribute(mute, 'aria-label', video.muted ? 'Turn the sound on' : 'Turn the sound off');

    const live = byId('control-live');
    setShown(live, stats.live);
    setAttribute(live, 'data-behind', stats.behind || video.paused ? '' : null);
    setAttribute(live, 'aria-label', stats.behind || video.paused ? 'Go to the live edge' : 'At the live edge');
    this.#position(stats);
    this.#offer();

    setText(byId('stat-latency'), stats.latency === null ? '–' : `${stats.latency.toFixed(1)} s`);
    setText(byId('stat-buffer'), stats.buffer === null ? '–' : `${stats.buffer.toFixed(1)} s`);
    setText(byId('stat-rung'), stats.width > 0 ? rungName(stats) : '–');
    setText(byId('stat-dropped'), stats.dropped === null ? '–' : whole(stats.dropped));
  }

  #position({ live, window }) {
    const time = byId('control-time');
    if (!window) {
      setText(time, '');
      this.#seek.disabled = true;
      return;
    }
    const { currentTime } = this.#video;
    const share = (currentTime - window.start) / (window.end - window.start);
    const behind = Math.max(0, window.end - currentTime);
    const text = live ? (behind < 1 ? '' : `−${clock(behind)}`) : `${clock(currentTime)} / ${clock(window.end)}`;
    setText(time, text);
    this.#seek.disabled = false;
    setAttribute(this.#seek, 'aria-valuetext', live ? `${clock(behind)} behind live` : text);
    if (!this.#dragging) this.#seek.value = String(Math.round(Math.min(1, Math.max(0, share)) * STEPS));
    this.#seek.style.setProperty('--played', `${this.#seek.value / (STEPS / 100)}%`);
  }

  #offer() {
    const rungs = this.#player.rungs();
    const offered = rungs.map((rung) => `${rung.id}/${rung.bandwidth}`).join();
    if (offered !== this.#offered) {
      this.#offered = offered;
      this.#select.replaceChildren(
        make('option', { value: 'auto' }, 'Auto'),
        ...rungs.map((rung) => make('option', { value: rung.id }, optionText(rung, rungs))),
      );
    }
    this.#select.disabled = rungs.length < 2;
    if (this.#select.value !== this.#player.rung) this.#select.value = this.#player.rung;
  }
}

/** `720p`, with the bit rate where two rungs share the height. */
function optionText(rung, rungs) {
  const alone = rungs.filter((other) => other.height === rung.height).length === 1;
  return alone ? `${rung.height}p` : `${rung.height}p ${bitRate(rung.bandwidth)}`;
}

function rungName({ rung, width, height }) {
  return rung && rung.width === width && rung.height === height
    ? `${height}p, ${bitRate(rung.bandwidth)}`
    : size(width, height);
}
