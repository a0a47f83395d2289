// The editor of rules: line numbers that follow the text, wrong lines marked, and words offered while typing.
'use strict';
(() => {
  const form = document.getElementById('editor');
  if (!form) return;
  const text = form.querySelector('textarea');
  const numbers = form.querySelector('.numbers');
  const SHOWN = 8, SHORTEST = 2;

  // --- lines ---------------------------------------------------------------------------------------
  function number() {
    const lines = text.value.split('\n').length;
    while (numbers.children.length > lines) numbers.lastChild.remove();
    for (let line = numbers.children.length + 1; line <= lines; line++) {
      numbers.append(Object.assign(document.createElement('div'), { textContent: String(line) }));
    }
    text.rows = lines + 1;
  }

  function mark() {
    const wrong = new Set([...document.querySelectorAll('#checked .problems.bad [data-line]')].map(each => Number(each.dataset.line)));
    [...numbers.children].forEach((each, index) => each.classList.toggle('wrong', wrong.has(index + 1)));
  }

  document.addEventListener('htmx:afterSwap', event => {
    if (event.detail.target.id !== 'checked') return;
    mark();
    changed = false; // kept as a draft (console.js asks before anything is lost)
  });

  // --- words ---------------------------------------------------------------------------------------
  const list = Object.assign(document.createElement('ul'), { id: 'words', className: 'words', hidden: true });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', text.labels[0].textContent);
  text.parentElement.append(list);
  text.setAttribute('aria-autocomplete', 'list');
  text.setAttribute('aria-controls', 'words');
  let words = [], chosen = 0, moved = false;
  fetch(form.dataset.words).then(answer => (answer.ok ? answer.json() : {})).then(known => {
    words = Object.entries(known).map(([word, about]) => ({ word, about, folded: word.toLowerCase() }));
  });

  const begun = () => (text.selectionStart === text.selectionEnd ? /[\w.-]*$/.exec(text.value.slice(0, text.selectionStart))[0] : '');

  function close() {
    list.hidden = true;
    text.removeAttribute('aria-activedescendant');
  }

  function offer() {
    const start = begun(), folded = start.toLowerCase();
    const line = text.value.slice(0, text.selectionStart).split('\n').pop();
    const inside = /[\w.-]/.test(text.value[text.selectionStart] || '');
    if (start.length < SHORTEST || inside || /(^|\s)#/.test(line)) return close();
    const first = words.filter(each => each.folded.startsWith(folded) && each.word !== start);
    const found = [...first, ...words.filter(each => each.folded.includes(folded) && !each.folded.startsWith(folded))].slice(0, SHOWN);
    if (!found.length) return close();
    list.replaceChildren(...found.map((each, index) => {
      const item = Object.assign(document.createElement('li'), { id: `word-${index}` });
      item.setAttribute('role', 'option');
      item.dataset.word = each.word;
      item.append(Object.assign(document.createElement('strong'), { textContent: each.word }), ' ', Object.assign(document.createElement('span'), { textContent: each.about }));
      return item;
    }));
    const row = text.value.slice(0, text.selectionStart).split('\n').length;
    const height = parseFloat(getComputedStyle(text).lineHeight);
    list.style.top = `${text.offsetTop + row * height + 10}px`;
    list.style.left = `calc(${text.offsetLeft - text.scrollLeft}px + ${line.length - start.length + 1}ch)`;
    list.hidden = false;
    moved = false;
    choose(0);
  }

  function choose(index) {
    chosen = (index + list.children.length) % list.children.length;
    [...list.children].forEach((each, at) => each.setAttribute('aria-selected', String(at === chosen)));
    text.setAttribute('aria-activedescendant', `word-${chosen}`);
  }

  function take(word) {
    const at = text.selectionStart;
    text.setRangeText(word, at - begun().length, at, 'end');
    close();
    text.dispatchEvent(new Event('input', { bubbles: true }));
    close();
  }

  text.addEventListener('keydown', event => {
    if (list.hidden || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      moved = true;
      choose(chosen + step);
    } else if ((event.key === 'Tab' && !event.shiftKey) || (event.key === 'Enter' && moved)) take(list.children[chosen].dataset.word);
    else if (event.key === 'Escape') close();
    else return;
    event.preventDefault();
  });
  list.addEventListener('mousedown', event => { // before the text loses the focus
    event.preventDefault();
    const item = event.target.closest('li');
    if (item) take(item.dataset.word);
  });
  text.addEventListener('input', () => { number(); offer(); });
  text.addEventListener('blur', close);
  text.addEventListener('click', close);
  number();
  mark();
})();
