// The machine: what is wrong with it, and what it transcodes on.

import { byId, icon, keyed, make, setAttribute, setShown, setText } from './dom.js';
import { sentence, whole } from './format.js';

/** What each engine is called. */
const ENGINES = { software: 'CPU', nvidia: 'NVIDIA', vaapi: 'VA-API' };

/** Shows what the daemon's checks found wrong: a word in red where it is not ready, in amber where it works all the same. */
export function showHealth(health) {
  const wrong = (health?.checks ?? []).filter((check) => check.ok === false);
  setShown(byId('notices'), wrong.length > 0);
  keyed(byId('notices'), wrong, (check) => check.name, () => {
    const text = make('p');
    const node = make('li', { class: 'notice' }, icon('warn'), text);
    return {
      node,
      update(check) {
        setText(text, sentence(check.detail) ?? sentence(check.name));
        setAttribute(node, 'data-tone', health.ready === false ? 'bad' : 'warn');
      },
    };
  });
}

/** Shows devices with what feeds have on them; nothing where there is only the CPU. */
export function showDevices(machine, feeds) {
  const engine = (device) => String(device.id).split(':')[0];
  const found = machine?.devices ?? [];
  // One that was found and cannot be used is worth a word; a kind of which there is none is not.
  const unusable = (machine?.unusable ?? []).filter((device) => device.what);
  const rows = [
    ...found.map((device) => ({ ...device, engine: engine(device) })),
    ...unusable.map((device) => ({ id: `${device.engine}:${device.what}`, name: device.what, engine: device.engine, problems: [device.reason], unusable: true })),
  ];
  const shown = rows.some((row) => row.engine !== 'software');
  setShown(byId('devices-panel'), shown);
  if (!shown) return;
  keyed(byId('devices'), rows, (row) => row.id, () => {
    const name = make('span', { class: 'device-name' });
    const kind = make('span', { class: 'device-engine' });
    const load = make('p', { class: 'device-load' });
    const problems = make('p', { class: 'device-problem' });
    return {
      node: make('li', { class: 'device' }, make('div', { class: 'device-head' }, name, kind), load, problems),
      update(row) {
        setText(name, row.name || row.id);
        setAttribute(name, 'title', row.id);
        setText(kind, [ENGINES[row.engine] ?? row.engine, row.simulated ? 'simulated' : null].filter(Boolean).join(', '));
        setShown(load, !row.unusable);
        setText(load, loadText(row.id, machine.load_samples_per_second, feeds));
        const said = (row.problems ?? []).map(sentence).filter(Boolean).join(' ');
        setShown(problems, said !== '');
        setText(problems, said);
      },
    };
  });
}

function loadText(id, loads, feeds) {
  const using = feeds.filter((feed) => feed.worker?.device === id).length;
  const load = loads?.[id] ?? 0;
  if (using === 0 && load === 0) return 'Idle';
  const work = load > 0 ? `${load >= 9.95e6 ? whole(load / 1e6) : (load / 1e6).toFixed(1)} Mpx/s encoded` : null;
  return [using === 1 ? '1 feed' : `${using} feeds`, work].filter(Boolean).join(' · ');
}
