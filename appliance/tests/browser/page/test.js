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
      seekable: video.seekable.length > 0 ? [video.seekable.start(0), video.seekable.end(video.seekable.length - 1)] : null,
      paused: video.paused,
      ended: video.ended,
      width: video.videoWidth,
      height: video.videoHeight,
      live: ask(() => this.driver.live()),
      latency: ask(() => this.driver.latency()),
      rungs: ask(() => this.driver.rungs()) ?? [],
      audio: ask(() => this.driver.audio()),
      audioBytes: video.webkitAudioDecodedByteCount ?? null,
      frames: this.monitor.frames,
      dropped: quality.droppedVideoFrames,
      total: quality.totalVideoFrames,
      stalls: this.monitor.allStalls(),
      sizes: this.monitor.sizes,
      advanced: this.monitor.advanced,
      expected: this.monitor.expected,
      fatal: this.fatal,
      warnings: this.warnings,
    };
  },

  watch() {
    this.monitor.watch();
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

  toLive() {
    this.driver.toLive();
  },

  grab() {
    return this.monitor.grab();
  },
};
