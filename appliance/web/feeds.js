// The list of feeds.

import { byId, keyed, make, setAttribute, setShown, setText } from './dom.js';
import { bitRate, frameRate, sentence, size } from './format.js';

/** What each state is called on the page. */
const STATES = { idle: 'Off air', starting: 'Starting', live: 'Live', slate: 'Slate', ending: 'Ending' };

/** Sets a pill to a state; a state this page does not know is shown as the daemon calls it. */
export function showState(pill, state) {
  setText(pill, STATES[state] ?? String(state ?? 'unknown'));
  setAttribute(pill, 'data-state', STATES[state] ? state : 'unknown');
}

/** The rungs of a feed that fall behind. */
export function slowRungs(feed) {
  return (feed.rungs ?? []).filter((rung) => typeof rung.real_time_ratio === 'number' && rung.real_time_ratio < 1);
}

/** One line about what comes in, or that nothing does. */
function brief(feed) {
  const source = feed.source;
  if (!source) return feed.state === 'idle' ? 'Nobody publishes' : 'Looking at the source';
  const parts = [
    source.video_codec && source.height > 0 ? size(source.width, source.height) : null,
    source.video_codec ? frameRate(source.frame_rate) : 'audio only',
    bitRate(source.bit_rate),
  ];
  return parts.filter(Boolean).join(' · ');
}

let marked;

/** Shows the feeds; `select(name)` is called when one is chosen. */
export function showFeeds(feeds, selected, select) {
  const moved = marked !== selected;
  marked = selected;
  keyed(byId('feed-list'), feeds, (feed) => feed.name, (first) => {
    const title = make('span', { class: 'feed-title' });
    const pill = make('span', { class: 'pill' });
    const line = make('span', { class: 'feed-brief' });
    const slow = make('span', { class: 'feed-slow' });
    const problem = make('span', { class: 'feed-problem' });
    const button = make('button', { type: 'button', class: 'feed', onclick: () => select(first.name) },
      make('span', { class: 'feed-head' }, title, pill), line, slow, problem);
    return {
      node: make('li', {}, button),
      update(feed) {
        setText(title, feed.title || feed.name);
        showState(pill, feed.state);
        setText(line, brief(feed));
        const behind = slowRungs(feed).length;
        setShown(slow, behind > 0);
        setText(slow, behind === 1 ? '1 rung falls behind' : `${behind} rungs fall behind`);
        setShown(problem, Boolean(feed.problem));
        setText(problem, sentence(feed.problem));
        setAttribute(button, 'aria-current', feed.name === marked ? 'true' : null);
        setAttribute(button, 'data-state', feed.state);
      },
    };
  });
  if (moved) bringIntoView();
}

/** On a phone the list is a row, and the feed that is shown may stand outside it. */
function bringIntoView() {
  const list = byId('feed-list');
  const item = list.querySelector('[aria-current]')?.parentElement;
  if (item) list.scrollTo({ left: item.offsetLeft - list.offsetLeft - 12, top: item.offsetTop - list.offsetTop - 12 });
}
