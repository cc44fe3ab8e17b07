// What play.mjs calls from outside, as `rungTest`.

import { drivers } from './drivers.js';
import { Monitor } from './monitor.js';

const video = document.getElementById('video');

globalThis.rungTest = {
  fatal: [],
  warnings: [],

  start({ player, url, stallLimit, pictures }) {
    this.driver = drivers[player]();
    this.monitor = new Monitor(video, stallLimit, pictures);
    this.startedAt = performance.now();
    const report = (fatal, sentence) => (fatal ? this.fatal : this.warnings).push(sentence);
    video.addEventListener('error', () => report(true, `the video element: ${video.error?.message || `code ${video.error?.code}`}`));
    // Not awaited: a player that never comes up must run into the caller's deadline, and keep its errors.
    Promise.resolve().then(() => this.driver.start(video, url, report)).catch((error) => report(true, String(error)));
  },

  state() {
    const quality = video.getVideoPlaybackQuality();
    const ask = (question) => {
      try {
        return question();
      } catch {
        return null; // Asked before the player has read its manifest.
      }
    };
    return {
      startupMillis: this.monitor.firstFrameAt === null ? null : Math.round(this.monitor.firstFrameAt - this.startedAt),
      time: video.currentTime,
      duration: Number.isFinite(video.duration) ? video.duration : null,
      reach: ask(() => this.driver.reach(video)),
      paused: video.paused,
      ended: video.ended,
      width: video.videoWidth,
      height: video.videoHeight,
      behind: ask(() => this.behind()),
      live: ask(() => this.driver.live()),
      latency: ask(() => this.driver.latency()),
      rungs: ask(() => this.driver.rungs()) ?? [],
      audio: ask(() => this.driver.audio()),
      audioBytes: video.webkitAudioDecodedByteCount ?? null,
      frames: this.monitor.frames,
      dropped: quality.droppedVideoFrames,
      total: quality.totalVideoFrames,
      stalls: this.monitor.allStalls(),
      jumps: this.monitor.jumps,
      longest: this.monitor.longest,
      starved: this.monitor.starved,
      missed: this.monitor.missed,
      sizes: this.monitor.sizes,
      advanced: this.monitor.advanced,
      expected: this.monitor.expected,
      fatal: this.fatal,
      warnings: this.warnings,
    };
  },

  // Seconds from a picture's coming in to its being shown, by this machine's clock.
  behind() {
    const wall = this.driver.wall(video);
    return Number.isFinite(wall) ? (Date.now() - wall) / 1000 : null;
  },

  watch() {
    this.monitor.watch();
    this.behinds = [];
    this.reading ??= setInterval(() => {
      const behind = this.state().behind;
      if (behind !== null) this.behinds.push(behind);
    }, 500);
  },

  // How far behind it was since the last `watch`, in seconds.
  behindSoFar() {
    if (this.behinds.length === 0) return null;
    const sorted = this.behinds.toSorted((a, b) => a - b);
    const at = (share) => Number(sorted[Math.floor((sorted.length - 1) * share)].toFixed(2));
    return { least: at(0), median: at(0.5), most: at(1), last: Number(this.behinds.at(-1).toFixed(2)) };
  },

  excuse() {
    this.monitor.excuse();
  },

  choose(id) {
    this.driver.choose(id);
  },

  seek(seconds) {
    video.currentTime = seconds;
  },

  grab() {
    return this.monitor.grab();
  },
};
