// The list of recordings.

import { absolute } from './api.js';
import { byId, copyButton, keyed, make, setAttribute, setShown, setText } from './dom.js';
import { bytes, clock, date } from './format.js';

/** Recordings shown at first and added by each press of the button. */
const PAGE = 12;

let shown = PAGE;

/** Shows recordings, newest first; `play(presentation)` is called when one is chosen. */
export function showRecordings(presentations, playing, play) {
  setShown(byId('recordings-empty'), presentations.length === 0);
  keyed(byId('recordings'), presentations.slice(0, shown), (presentation) => presentation.id, (first) => row(first, playing, play));
  const more = byId('recordings-more');
  setShown(more, presentations.length > shown);
  setText(more, `Show ${Math.min(PAGE, presentations.length - shown)} more of ${presentations.length}`);
  more.onclick = () => {
    shown += PAGE;
    showRecordings(presentations, playing, play);
  };
}

function row(first, playing, play) {
  let current = first;
  const title = make('span', { class: 'recording-title' });
  const when = make('span', { class: 'recording-when' });
  const length = make('span', { class: 'recording-length' });
  const button = make('button', { type: 'button', class: 'recording-play', onclick: () => play(current) },
    make('span', { class: 'recording-badge' }), make('span', { class: 'recording-text' }, title, when), length);
  const badge = button.firstElementChild;
  const links = make('span', { class: 'recording-links' });
  const node = make('li', { class: 'recording' }, button, links);
  return {
    node,
    update(presentation) {
      current = presentation;
      const name = presentation.title || presentation.feed || String(presentation.id);
      setText(title, name);
      setText(when, date(presentation.availability_start_unix_millis));
      setText(length, [
        presentation.duration_millis > 0 ? clock(presentation.duration_millis / 1000) : null,
        presentation.bytes > 0 ? bytes(presentation.bytes) : null,
      ].filter(Boolean).join(' · '));
      setText(badge, presentation.live ? 'Live' : 'Play');
      setAttribute(badge, 'data-live', presentation.live ? '' : null);
      setAttribute(node, 'data-playing', String(presentation.id) === playing() ? '' : null);
      setAttribute(button, 'aria-current', String(presentation.id) === playing() ? 'true' : null);
      const urls = [['DASH', absolute(presentation.dash_url)], ['HLS', absolute(presentation.hls_url)]].filter(([, url]) => url);
      keyed(links, urls, (link) => link.join(), ([label, url]) => ({
        node: make('span', { class: 'recording-link' },
          make('a', { href: url, 'aria-label': `${label} manifest of ${name}` }, label), copyButton(`${label} address of ${name}`, () => url)),
        update() {},
      }));
    },
  };
}
