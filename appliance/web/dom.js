// Small hands for the document. Every text goes in as text: names, titles and encoder strings come from strangers.

const SVG = 'http://www.w3.org/2000/svg';

/** The element of that id; the page is ours, so it is there. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with attributes and children; strings become text nodes, never markup. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'class') node.className = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An icon of the sprite in the page. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Changes the icon that a button holds. */
export function setIcon(button, name) {
  setAttribute(button.querySelector('use'), 'href', `#icon-${name}`);
}

/** Sets a text only when it differs, so that selections and screen readers are left alone. */
export function setText(node, text) {
  const wanted = text ?? '';
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Sets an attribute only when it differs; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}

/** Shows or hides. */
export function setShown(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/**
 * Makes the children of `parent` those of `items`, keeping the nodes of the keys that stay, so that focus survives.
 * `create(item)` gives `{node, update(item)}`.
 */
export function keyed(parent, items, key, create) {
  const known = parent.keyedRows ?? new Map();
  const next = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    if (next.has(name)) continue;
    const row = known.get(name) ?? create(item);
    next.set(name, row);
    row.update(item);
    if (row.node === place) place = place.nextElementSibling;
    else parent.insertBefore(row.node, place);
  }
  for (const [name, row] of known) {
    if (!next.has(name)) row.node.remove();
  }
  parent.keyedRows = next;
}

/** Fills a `<dl>` from `[term, text, tone]`; entries without text are left out. */
export function facts(list, entries) {
  const shown = entries.filter(([, text]) => text !== null && text !== undefined && text !== '');
  keyed(list, shown, ([term]) => term, ([term]) => {
    const value = make('dd');
    return {
      node: make('div', {}, make('dt', {}, term), value),
      update([, text, tone]) {
        setText(value, text);
        setAttribute(value, 'data-tone', tone);
      },
    };
  });
}

/** A button that copies what `read()` gives. */
export function copyButton(label, read) {
  const button = make('button', { type: 'button', class: 'icon-button', 'aria-label': `Copy ${label}`, title: 'Copy' }, icon('copy'));
  let back = 0;
  button.addEventListener('click', async () => {
    const copied = await copy(read());
    setIcon(button, copied ? 'done' : 'warn');
    setText(byId('announce'), copied ? `Copied ${label}` : 'The browser did not allow copying');
    clearTimeout(back);
    back = setTimeout(() => setIcon(button, 'copy'), 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another host there is no clipboard object; the old way still works there.
    const field = make('textarea', { class: 'visually-hidden', readonly: true });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    focused?.focus();
    return copied;
  }
}
