// Numbers as operators read them. A missing number gives null, so that the place for it is left out.

const count = new Intl.NumberFormat('en');
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const timeOnly = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

function known(value) {
  return typeof value === 'number' && Number.isFinite(value);
}

/** `1234567` as `1,234,567`. */
export function whole(value) {
  return known(value) ? count.format(Math.round(value)) : null;
}

/** Bits per second as `4.25 Mb/s` or `640 kb/s`. */
export function bitRate(bitsPerSecond) {
  if (!known(bitsPerSecond)) return null;
  if (bitsPerSecond >= 999_500) return `${(bitsPerSecond / 1e6).toFixed(bitsPerSecond >= 9_995_000 ? 1 : 2)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}

/** `30000/1001` as `29.97 fps`. */
export function frameRate(rate) {
  const [numerator, denominator = 1] = String(rate ?? '').split('/').map(Number);
  const value = numerator / denominator;
  if (!known(value) || value <= 0) return null;
  return `${Number(value.toFixed(2))} fps`;
}

/** `640 × 360`. */
export function size(width, height) {
  return width > 0 && height > 0 ? `${width} × ${height}` : null;
}

/** Bytes as `1.2 GB`, in powers of ten as disks are sold. */
export function bytes(value) {
  if (!known(value)) return null;
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let amount = value;
  let unit = 0;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit === 0 || amount >= 99.95 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

/** Seconds as `4:05` or `1:04:05`. */
export function clock(seconds) {
  if (!known(seconds)) return null;
  const all = Math.max(0, Math.floor(seconds));
  const two = (part) => String(part).padStart(2, '0');
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Milliseconds as `42 s`, `7 min`, `3 h 20 min`, `2 d 4 h`. */
export function span(milliseconds) {
  if (!known(milliseconds)) return null;
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Milliseconds since 1970 as a local date and time. */
export function date(unixMillis) {
  return known(unixMillis) && unixMillis > 0 ? dayAndTime.format(new Date(unixMillis)) : null;
}

/** Milliseconds since 1970 as a local time of day. */
export function timeOfDay(unixMillis) {
  return known(unixMillis) && unixMillis > 0 ? timeOnly.format(new Date(unixMillis)) : null;
}

/** `1` as `Mono`, `6` as `5.1`. */
export function channels(amount) {
  return { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' }[amount] ?? (amount > 0 ? `${amount} channels` : null);
}

/** What the daemon logs in lower case without a full stop, as a sentence for a reader. */
export function sentence(text) {
  if (typeof text !== 'string' || text === '') return null;
  return text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.');
}
