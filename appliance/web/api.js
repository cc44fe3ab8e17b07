// Asking the daemon. Answers are taken as far as they make sense: the page may be older or newer than the daemon.

/** How long one answer may take, in milliseconds. */
const ANSWER_TIMEOUT = 5000;
/** Longest pause between two tries while the daemon does not answer, in milliseconds. */
const LONGEST_PAUSE = 10_000;

async function ask(path, accepted = (answer) => answer.ok) {
  const answer = await fetch(path, {
    headers: { accept: 'application/json' },
    cache: 'no-store',
    signal: AbortSignal.timeout(ANSWER_TIMEOUT),
  });
  if (!accepted(answer)) throw new Error(`${path} answered ${answer.status}`);
  const date = Date.parse(answer.headers.get('date') ?? '');
  return { body: await answer.json(), serverTime: Number.isFinite(date) ? date : null };
}

function listOf(body, name) {
  const list = Array.isArray(body) ? body : body?.[name];
  return Array.isArray(list) ? list.filter((item) => item !== null && typeof item === 'object') : [];
}

/** All feeds, and the daemon's clock in milliseconds since 1970 where it tells it. */
export async function feeds() {
  const { body, serverTime } = await ask('/api/v1/feeds');
  return {
    feeds: listOf(body, 'feeds').filter((feed) => typeof feed.name === 'string'),
    servers: Array.isArray(body?.servers) ? body.servers.filter((server) => typeof server === 'string') : [],
    serverTime,
  };
}

/** All presentations, newest first. */
export async function presentations() {
  const { body } = await ask('/api/v1/presentations');
  return listOf(body, 'presentations')
    .filter((presentation) => presentation.id !== undefined && presentation.id !== null)
    .sort((a, b) => (b.availability_start_unix_millis ?? 0) - (a.availability_start_unix_millis ?? 0));
}

/** Whether the daemon is as it should be, and what is not. One that is not ready says so with 503. */
export async function health() {
  const { body } = await ask('/readyz', (answer) => answer.ok || answer.status === 503);
  return { ready: body?.ready !== false, checks: listOf(body, 'checks') };
}

/** What there is to transcode on; null while that is being looked for. */
export async function devices() {
  const { body } = await ask('/api/v1/devices', (answer) => answer.ok || answer.status === 503);
  return Array.isArray(body?.devices) ? { ...body, devices: listOf(body, 'devices'), unusable: listOf(body, 'unusable') } : null;
}

/** A URL of the daemon made absolute; null for anything that is not plain HTTP. */
export function absolute(path) {
  if (typeof path !== 'string' || path === '') return null;
  try {
    const url = new URL(path, location.origin);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * Calls `work` every `period` milliseconds, and ever less often while it fails.
 * Nothing runs while the page is not looked at; it catches up when it is.
 */
export class Poll {
  #work;
  #period;
  #failed;
  #failures = 0;
  #timer = 0;
  #running = false;

  /** `failed(error, pause)` hears of each failure and of the pause before the next try, in milliseconds. */
  constructor(work, period, failed) {
    this.#work = work;
    this.#period = period;
    this.#failed = failed;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.now();
    });
  }

  /** Tries at once. */
  async now() {
    clearTimeout(this.#timer);
    if (this.#running) return;
    this.#running = true;
    let pause = this.#period;
    try {
      await this.#work();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      pause = Math.min(LONGEST_PAUSE, this.#period * 2 ** (this.#failures - 1));
      this.#failed(error, pause);
    }
    this.#running = false;
    if (!document.hidden) this.#timer = setTimeout(() => this.now(), pause);
  }
}
