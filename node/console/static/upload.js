// The upload: files that are too large together are not even sent, and one sees that it goes on.
'use strict';
(() => {
  const form = document.getElementById('upload');
  if (!form) return;
  const files = form.querySelector('input[type=file]');
  const tooLarge = () => [...files.files].reduce((sum, each) => sum + each.size, 0) > Number(form.dataset.most);
  const look = () => { document.getElementById('too-large').hidden = !tooLarge(); };
  files.addEventListener('change', look);
  form.addEventListener('submit', event => {
    look();
    if (tooLarge()) {
      event.preventDefault();
      event.stopPropagation(); // its button stays to be pressed
    } else document.getElementById('under-way').hidden = false;
  });
  // anywhere on the form
  for (const kind of ['dragover', 'drop']) form.addEventListener(kind, event => event.preventDefault());
  form.addEventListener('dragover', () => form.classList.add('dropping'));
  for (const kind of ['dragleave', 'drop']) form.addEventListener(kind, () => form.classList.remove('dropping'));
  form.addEventListener('drop', event => {
    if (!event.dataTransfer.files.length) return;
    files.files = event.dataTransfer.files;
    look();
  });
})();
