// One video element and whatever plays in it: dash.js, or the browser's own HLS where dash.js cannot run.

import { absolute } from './api.js';

/** A live picture that stands still this long, in milliseconds, is started afresh. */
const STALL_LIMIT = 12_000;
/** An error counts when the picture has not moved this long after it, in milliseconds. */
const DOUBT = 3000;
/** Pauses between tries after an error, in milliseconds; the last one repeats. */
const RETRY_PAUSES = [1000, 2000, 4000, 8000, 15_000];
/** This far behind the aimed-at delay, in seconds, a live viewer counts as behind. */
const BEHIND_SLACK = 3;

let library = null;

/** Loads dash.js at the first need: the figures must not wait for it. */
function loadLibrary() {
  library ??= import('./vendor/dashjs/dash.all.min.js').catch((error) => {
    library = null;
    throw error;
  });
  return library;
}

/**
 * Plays one thing at a time. `changed(phase, sentence)` hears of phases: `empty`, `loading`, `playing`, `ended`,
 * `retrying` and `failed`.
 */
export class Player {
  #video;
  #changed;
  #dash = null;
  #player = null;
  #what = null;
  #generation = 0;
  #failures = 0;
  #retry = 0;
  #rung = 'auto';
  #movedAt = 0;
  #lastTime = -1;

  constructor(video, changed) {
    this.#video = video;
    this.#changed = changed;
    video.addEventListener('playing', () => {
      this.#failures = 0;
      this.#changed('playing');
    });
    video.addEventListener('ended', () => this.#what && this.#changed('ended'));
    video.addEventListener('error', () => {
      if (this.#what && !this.#player) this.#fail('The browser could not play it.');
    });
    setInterval(() => this.#watch(), 1000);
  }

  /** What is playing: the object given to `play`, or null. */
  get what() {
    return this.#what;
  }

  /** Plays `{key, dashUrl, hlsUrl, live}`, unless it plays that key already. */
  play(what) {
    if (this.#what?.key === what.key) return;
    this.stop();
    this.#what = what;
    this.#failures = 0;
    this.#rung = 'auto';
    this.#start();
  }

  /** Plays the same again from its beginning or its live edge. */
  again() {
    const what = this.#what;
    if (!what) return;
    this.stop();
    this.#what = what;
    this.#start();
  }

  /** Ends whatever plays. */
  stop() {
    this.#teardown();
    if (this.#what) {
      this.#what = null;
      this.#changed('empty');
    }
  }

  async #start() {
    const generation = ++this.#generation;
    this.#changed('loading');
    this.#movedAt = performance.now();
    const url = absolute(this.#what.dashUrl);
    try {
      this.#dash = await loadLibrary();
    } catch {
      if (generation === this.#generation) this.#fail('The player could not be loaded.');
      return;
    }
    if (generation !== this.#generation) return;
    if (url && this.#dash.supportsMediaSource()) this.#startDash(url);
    else this.#startNative(absolute(this.#what.hlsUrl));
  }

  #startDash(url) {
    const { MediaPlayer } = this.#dash;
    const player = MediaPlayer().create();
    this.#player = player;
    player.updateSettings({
      debug: { logLevel: 0 },
      streaming: {
        // Manifests name the clock. Were one not to, the fallback must be this daemon: the library's own is a host on
        // the Internet.
        utcSynchronization: {
          defaultTimingSource: { scheme: 'urn:mpeg:dash:utc:http-iso:2014', value: absolute('/time') },
        },
        lastBitrateCachingInfo: { enabled: false },
        lastMediaSettingsCachingInfo: { enabled: false },
      },
    });
    const generation = this.#generation;
    const { events } = MediaPlayer;
    player.on(events.ERROR, (event) => {
      if (generation === this.#generation) this.#suspect(sentenceOf(event.error));
    });
    player.on(events.STREAM_INITIALIZED, () => {
      if (generation === this.#generation) this.setRung(this.#rung);
    });
    player.initialize(this.#video, url, true);
  }

  #startNative(url) {
    if (!url || this.#video.canPlayType('application/vnd.apple.mpegurl') === '') {
      this.#fail('This browser can play neither DASH nor HLS.', false);
      return;
    }
    this.#video.src = url;
    this.#video.play().catch(() => {});
  }

  /** dash.js gets over many of its errors; only a picture that does not go on proves one. */
  #suspect(sentence) {
    const { currentTime, readyState } = this.#video;
    if (readyState === HTMLMediaElement.HAVE_NOTHING) {
      this.#fail(sentence);
      return;
    }
    const generation = this.#generation;
    setTimeout(() => {
      const stands = this.#video.currentTime === currentTime && !this.#video.paused;
      if (generation === this.#generation && stands) this.#fail(sentence);
    }, DOUBT);
  }

  #fail(sentence, again = true) {
    this.#teardown();
    if (!again) {
      this.#changed('failed', sentence);
      return;
    }
    const pause = RETRY_PAUSES[Math.min(this.#failures, RETRY_PAUSES.length - 1)];
    this.#failures += 1;
    // A recording does not come back by itself; a live feed does.
    if (!this.#what?.live && this.#failures > RETRY_PAUSES.length) {
      this.#changed('failed', sentence);
      return;
    }
    this.#changed('retrying', sentence);
    this.#retry = setTimeout(() => this.#start(), pause);
  }

  #teardown() {
    this.#generation += 1;
    clearTimeout(this.#retry);
    this.#player?.destroy();
    this.#player = null;
    this.#video.removeAttribute('src');
    this.#video.load();
    this.#lastTime = -1;
  }

  #watch() {
    const { currentTime, paused } = this.#video;
    const now = performance.now();
    if (currentTime !== this.#lastTime || paused || document.hidden || !this.#player) {
      this.#lastTime = currentTime;
      this.#movedAt = now;
    } else if (this.#what?.live && now - this.#movedAt > STALL_LIMIT) {
      this.#fail('The picture stood still.');
    }
  }

  /** The rungs on offer, largest first: `{id, width, height, bandwidth}`. */
  rungs() {
    const list = this.#ask((player) => player.getRepresentationsByType('video')) ?? [];
    return [...list].sort((a, b) => b.bandwidth - a.bandwidth);
  }

  /** The rung chosen: `auto` or its id. */
  get rung() {
    return this.#rung;
  }

  /** Keeps to the rung of that id, or lets the player choose (`auto`). */
  setRung(id) {
    const auto = id === 'auto' || !this.rungs().some((rung) => rung.id === id);
    this.#rung = auto ? 'auto' : id;
    this.#ask((player) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: auto } } } });
      if (!auto) player.setRepresentationForTypeById('video', id, true);
    });
  }

  /** What the viewer sees, each null where it is not known. Times are in seconds. */
  stats() {
    const quality = this.#video.getVideoPlaybackQuality?.();
    const shown = this.rungs().filter(
      (rung) => rung.width === this.#video.videoWidth && rung.height === this.#video.videoHeight,
    );
    const current = this.#ask((player) => player.getCurrentRepresentationForType('video'));
    const live = Boolean(this.#ask((player) => player.isDynamic()));
    const latency = live ? this.#ask((player) => player.getCurrentLiveLatency()) : null;
    const target = live ? this.#ask((player) => player.getTargetLiveDelay()) : null;
    return {
      live,
      latency: latency > 0 ? latency : null,
      behind: latency > 0 && target > 0 && latency > target + BEHIND_SLACK,
      buffer: bufferAhead(this.#video),
      rung: shown.length === 1 ? shown[0] : current,
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      dropped: quality && quality.totalVideoFrames > 0 ? quality.droppedVideoFrames : null,
      window: this.#window(live),
    };
  }

  #window(live) {
    const { seekable, duration } = this.#video;
    if (live) {
      const window = this.#ask((player) => player.getDvrWindow());
      if (window && window.end > window.start) return { start: window.start, end: window.end };
    }
    if (Number.isFinite(duration) && duration > 0) return { start: 0, end: duration };
    return seekable.length > 0 ? { start: seekable.start(0), end: seekable.end(seekable.length - 1) } : null;
  }

  /** Goes to the live edge. */
  seekToLive() {
    this.#ask((player) => player.seekToOriginalLive());
    this.#video.play().catch(() => {});
  }

  #ask(question) {
    if (!this.#player) return null;
    try {
      return question(this.#player);
    } catch {
      // dash.js throws for most questions asked before the manifest is there.
      return null;
    }
  }
}

function bufferAhead(video) {
  for (let i = 0; i < video.buffered.length; i += 1) {
    if (video.buffered.start(i) <= video.currentTime + 0.1 && video.buffered.end(i) >= video.currentTime) {
      return video.buffered.end(i) - video.currentTime;
    }
  }
  return null;
}

function sentenceOf(error) {
  const message = typeof error?.message === 'string' ? error.message : '';
  if (/manifest|mpd/i.test(message)) return 'The manifest could not be read.';
  if (/content|segment|download|init/i.test(message)) return 'A segment could not be fetched.';
  return 'The player met an error.';
}
