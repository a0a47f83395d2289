// Scrolling through slices: by the range, its arrow keys, and the wheel over the picture. Without it, links do.
'use strict';

for (const viewer of document.querySelectorAll('[data-slices]')) {
  const range = viewer.querySelector('input[type=range]');
  const picture = viewer.querySelector('img');
  const number = viewer.querySelector('output');
  let wanted = range.value;
  let loading = false;

  const show = () => {
    number.value = range.value;
    wanted = range.value;
    if (loading) return; // the one that is wanted when this one has come
    const next = new Image();
    const asked = wanted;
    loading = true;
    next.onload = next.onerror = () => {
      loading = false;
      picture.src = next.src;
      picture.alt = picture.alt.replace(/\d+/, asked);
      if (wanted !== asked) show();
    };
    next.src = viewer.dataset.slices + asked;
  };

  range.addEventListener('input', show);
  picture.addEventListener('wheel', event => {
    event.preventDefault();
    range.value = Number(range.value) + Math.sign(event.deltaY);
    if (range.value !== wanted) show();
  }, {passive: false});
}
