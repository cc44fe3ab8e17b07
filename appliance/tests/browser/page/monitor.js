// What a viewer would notice, counted: frames on the screen, times that stand still, sizes that change.

/** Between two looks, in milliseconds; far under the shortest stall that counts. */
const PERIOD = 50;
/**
 * A page that was not let run for so long, in milliseconds, or did not get round to drawing, shows nothing whatever it was
 * sent: players are programs of the page. That time is no stop of theirs. It says nothing of what they were waiting for.
 */
const STARVED = 250;
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
  // When the page last ran, and when it last drew; both every PERIOD, or nearly, where the machine lets it.
  #beat = { clock: performance.now(), picture: performance.now() };
  // Milliseconds that it did not, since it was opened.
  #idle = { clock: 0, picture: 0 };
  #drawing = false;
  firstFrameAt = null;
  frames = 0;
  stalls = [];
  sizes = [];
  // Seeks that nobody asked for, of more than JUMP, and any step back.
  jumps = [];
  // Longest time without a new clock or picture, in milliseconds.
  longest = { clock: 0, picture: 0 };
  // Stops that the page itself is the cause of, and media seconds that it lost while it did not run.
  starved = [];
  missed = 0;
  // Media time gone by and media time that should have, in seconds, outside excused times.
  advanced = 0;
  expected = 0;

  /**
   * Stops of clock or picture longer than `stallLimit` milliseconds are stalls, less what the page itself was starved;
   * `pictures` is false for sound alone.
   */
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
    if (!this.#excused) this.#open[what] = { since: performance.now(), idle: this.#idleSoFar(what), at: this.#video.currentTime };
  }

  #idleSoFar(what) {
    const gap = performance.now() - this.#beat[what];
    return this.#idle[what] + (gap > STARVED ? gap : 0);
  }

  #beats(what) {
    this.#idle[what] = this.#idleSoFar(what);
    this.#beat[what] = performance.now();
  }

  /** How long a stop has lasted, in milliseconds, and how long without what the page itself was starved. */
  #measure(what, { since, idle, at }) {
    const whole = Math.round(performance.now() - since);
    const millis = Math.max(0, whole - Math.round(this.#idleSoFar(what) - idle));
    return { what, atSeconds: Number(at.toFixed(2)), millis, ...(millis < whole ? { whole } : {}) };
  }

  #close(what) {
    const open = this.#open[what];
    this.#open[what] = null;
    if (!open) return;
    const stop = this.#measure(what, open);
    this.longest[what] = Math.max(this.longest[what], stop.millis);
    if (stop.millis > this.#stallLimit) this.stalls.push(stop);
    else if (stop.whole > this.#stallLimit) this.starved.push(stop);
  }

  #look() {
    const { currentTime, playbackRate, ended } = this.#video;
    const now = performance.now();
    const gap = now - this.#beat.clock;
    this.#beats('clock');
    this.#draw();
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
      const due = ((now - this.#last.now) / 1000) * (playbackRate || 1);
      const missed = gap > STARVED ? Math.max(0, due - step) : 0;
      this.missed += missed;
      this.expected += due - missed;
    }
    if (this.#last?.currentTime !== currentTime) {
      this.firstFrameAt ??= !this.#pictures && currentTime > 0 ? now : null;
      this.#moved('clock');
    }
    if (!this.#pictures) this.#open.picture = null;
    this.#last = { now, currentTime };
  }

  /** Asks for the page to be drawn, which is when pictures are counted. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#beats('picture');
    });
  }

  /** Stops that have been and the one that lasts. */
  allStalls() {
    const lasting = Object.entries(this.#open).filter(([, open]) => open).map(([what, open]) => this.#measure(what, open));
    return [...this.stalls, ...lasting.filter((stop) => stop.millis > this.#stallLimit)];
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
