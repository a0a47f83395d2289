// The little that pages do by themselves; every page works without it.
'use strict';

// What is about to be lost is asked about: a form with data-guard that was changed and not sent.
let changed = false;
document.addEventListener('input', event => {
  if (event.target.closest('form[data-guard]')) changed = true;
});
document.addEventListener('submit', event => {
  const form = event.target;
  if (form.matches('form[data-guard]')) changed = false;
  // an action is sent once, however often its button is pressed
  if (form.method === 'post') for (const button of form.querySelectorAll('button')) setTimeout(() => { button.disabled = true; }, 0);
});
window.addEventListener('beforeunload', event => {
  if (changed) event.preventDefault();
});
window.addEventListener('pageshow', event => { // back again: buttons can be pressed again
  if (event.persisted) for (const button of document.querySelectorAll('button:disabled')) button.disabled = false;
});

// A select or a check box with data-submit sends its form at once.
document.addEventListener('change', event => {
  if (event.target.matches('[data-submit]')) event.target.form.requestSubmit();
});

// While somebody types or has opened something in a live part, it is not replaced.
document.addEventListener('htmx:beforeSwap', event => {
  const part = event.detail.target;
  const busy = part.contains(document.activeElement) && document.activeElement.matches('input, select, textarea');
  if (event.detail.requestConfig?.triggeringEvent?.type === 'sse:changed' && (busy || part.querySelector('details[open]'))) {
    event.detail.shouldSwap = false;
  }
});
