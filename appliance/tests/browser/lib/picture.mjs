// Telling a moving picture from a still or an empty one.

/** Standard deviation of grey values, of 255, under which a picture counts as flat. */
const FLAT = 6;
/** Mean difference of grey values, of 255, under which two pictures count as the same. */
const SAME = 0.3;

/** Whether there is something on the picture. */
export function isFlat(grab) {
  return grab.deviation < FLAT;
}

/** Mean difference of two pictures' grey values. */
export function difference(a, b) {
  return a.grey.reduce((sum, value, i) => sum + Math.abs(value - b.grey[i]), 0) / a.grey.length;
}

/** Whether two pictures differ by more than noise. */
export function differ(a, b) {
  return difference(a, b) > SAME;
}

/** What a picture looks like, in words for a failure. */
export function describe(grab) {
  return `mean ${grab.mean.toFixed(1)}, deviation ${grab.deviation.toFixed(1)} at ${grab.time.toFixed(2)} s`;
}
