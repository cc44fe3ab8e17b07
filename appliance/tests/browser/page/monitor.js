// What a viewer would notice, counted: frames on the screen, times that stand still, sizes that change.

/** Between two looks, in milliseconds; far under the shortest stall that counts. */
const PERIOD = 50;
/** A step of the clock that differs from wall time by more than this is a jump, in seconds. */
const JUMP = 0.3;
/** The picture as it is compared, in pixels. */
const GRAB = { width: 160, height: 90 };

export class Monitor {
  #video;
  #canvas = new OffscreenCanvas(GRAB.width, GRAB.height);
  #stallLimit;
  #pictures;
  #excused = true;
  #last = null;
  #open = { clock: null, picture: null };
  firstFrameAt = null;
  frames = 0;
  stalls = [];
  sizes = [];
  // Seeks that nobody asked for, of more than JUMP, and any step back.
  jumps = [];
  // Longest time without a new clock or picture, in milliseconds.
  longest = { clock: 0, picture: 0 };
  // Media time gone by and media time that should have, in seconds, outside excused times.
  advanced = 0;
  expected = 0;

  /** Stops of clock or picture longer than `stallLimit` milliseconds are stalls; `pictures` is false for sound alone. */
  constructor(video, stallLimit, pictures) {
    this.#video = video;
    this.#stallLimit = stallLimit;
    this.#pictures = pictures;
    const onFrame = (now, frame) => {
      this.firstFrameAt ??= performance.now();
      this.frames += 1;
      this.#moved('picture');
      const size = `${frame.width}x${frame.height}`;
      if (this.sizes.at(-1) !== size) this.sizes.push(size);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    setInterval(() => this.#look(), PERIOD);
  }

  /** From now on nothing is excused. */
  watch() {
    this.#excused = false;
    this.#last = null;
    this.#moved('clock');
    this.#moved('picture');
  }

  /** The test itself disturbs: stops do not count until `watch`. */
  excuse() {
    this.#close('clock');
    this.#close('picture');
    this.#excused = true;
  }

  #moved(what) {
    this.#close(what);
    if (!this.#excused) this.#open[what] = { since: performance.now(), at: this.#video.currentTime };
  }

  #close(what) {
    const open = this.#open[what];
    this.#open[what] = null;
    if (!open) return;
    const millis = Math.round(performance.now() - open.since);
    this.longest[what] = Math.max(this.longest[what], millis);
    if (millis > this.#stallLimit) this.stalls.push({ what, atSeconds: Number(open.at.toFixed(2)), millis });
  }

  #look() {
    const { currentTime, playbackRate, ended } = this.#video;
    const now = performance.now();
    if (ended) {
      this.excuse();
      return;
    }
    if (this.#last && !this.#excused) {
      const step = currentTime - this.#last.currentTime;
      const jump = step - ((now - this.#last.now) / 1000) * this.#video.playbackRate;
      if (step < 0 || jump > JUMP) this.jumps.push({ atSeconds: Number(currentTime.toFixed(2)), seconds: Number(step.toFixed(3)) });
      this.advanced += step;
      // Catching up with live is allowed for; Shaka's rate of 0 while it waits for media is not.
      this.expected += ((now - this.#last.now) / 1000) * (playbackRate || 1);
    }
    if (this.#last?.currentTime !== currentTime) {
      this.firstFrameAt ??= !this.#pictures && currentTime > 0 ? now : null;
      this.#moved('clock');
    }
    if (!this.#pictures) this.#open.picture = null;
    this.#last = { now, currentTime };
  }

  /** Stops that have been and the one that lasts. */
  allStalls() {
    const lasting = Object.entries(this.#open).filter(([, open]) => open && performance.now() - open.since > this.#stallLimit)
      .map(([what, open]) => ({ what, atSeconds: open.at, millis: Math.round(performance.now() - open.since) }));
    return [...this.stalls, ...lasting];
  }

  /** The picture on screen as grey values, with their mean and standard deviation. */
  grab() {
    const context = this.#canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(this.#video, 0, 0, GRAB.width, GRAB.height);
    const { data } = context.getImageData(0, 0, GRAB.width, GRAB.height);
    const grey = [];
    for (let i = 0; i < data.length; i += 4) grey.push(Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]));
    const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length;
    const deviation = Math.sqrt(grey.reduce((sum, value) => sum + (value - mean) ** 2, 0) / grey.length);
    return { grey, mean, deviation, time: this.#video.currentTime };
  }
}
