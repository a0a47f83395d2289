// What can be seen in OHIF's window: page coordinates of the regions drawn, their labels, the panels' texts.
window.seen = {
  viewport() {
    const [engine] = cornerstone.getRenderingEngines().filter(each => each.getViewports().length);
    return engine.getViewports()[0];
  },

  /** Rectangle of the canvas in the window: left, top, width, height. */
  canvas() {
    const { left, top, width, height } = this.viewport().canvas.getBoundingClientRect();
    return [left, top, width, height];
  },

  /** Whether the image that is to be shown is shown. */
  drawn() {
    const [engine] = window.cornerstone?.getRenderingEngines().filter(each => each.getViewports().length) ?? [];
    const viewport = engine?.getViewports()[0];
    return viewport?.viewportStatus === 'rendered' && viewport.getCornerstoneImage?.() !== undefined;
  },

  /** Thumbnail (its id) of what the viewport shows or is about to show. */
  opened() {
    const grid = services.viewportGridService;
    const [uid] = grid.getDisplaySetsUIDsForViewport(grid.getState().activeViewportId) ?? [];
    return `thumbnail-${uid}`;
  },

  /** Whether OHIF has read the report that is open: with that it has decided whether to offer its regions. */
  read() {
    const report = services.displaySetService.getDisplaySetByUID(this.opened().replace('thumbnail-', ''));
    return report?.isLoaded === true;
  },

  /** Whether OHIF has offered, since the page came, to take over regions; an offer is gone with the next click. */
  offered: false,

  /** SOP Instance UID of the image shown; empty while a viewport that has just been made has none. */
  image() {
    return /instances\/([0-9.]+)/.exec(this.viewport().getCurrentImageId() ?? '')?.[1] ?? '';
  },

  series() {
    const thumbnails = document.querySelectorAll('[data-cy^="study-browser-thumbnail"]');
    return [...thumbnails].map(each => [
      each.querySelector('[data-cy="series-modality-label"]').innerText,
      each.querySelector('[data-cy="series-description-label"]').innerText,
    ]);
  },

  /** Characters of a text that is on the screen which its font draws as it draws what nobody has assigned: as a box. */
  boxes(text) {
    const element = [...document.querySelectorAll('body *')].findLast(each => each.innerText?.trim() === text);
    const pen = new OffscreenCanvas(64, 64).getContext('2d', { willReadFrequently: true });
    const look = character => {
      pen.clearRect(0, 0, 64, 64);
      pen.font = `32px ${getComputedStyle(element).fontFamily}`;
      pen.fillText(character, 8, 48);
      return pen.getImageData(0, 0, 64, 64).data.join();
    };
    return [...text].filter(each => each.trim() && look(each) === look('\u{10FFFF}'));
  },

  /** Lines of the SVG layer, in order: what is drawn, in the window's pixels, with the text that follows it. */
  regions() {
    const svg = this.viewport().element.querySelector('svg.svg-layer');
    const { left, top } = svg.getBoundingClientRect();
    const at = (x, y) => [Number(x) + left, Number(y) + top];
    const number = (element, name) => Number(element.getAttribute(name));
    const shapes = {
      line: each => [at(each.getAttribute('x1'), each.getAttribute('y1')), at(each.getAttribute('x2'), each.getAttribute('y2'))],
      polyline: each => each.getAttribute('points').trim().split(/[\s,]+/).reduce(
        (points, value, index, all) => (index % 2 ? points : [...points, at(value, all[index + 1])]), []),
      ellipse: each => {
        const turned = /rotate\(([-0-9.e]+)/.exec(each.getAttribute('transform') ?? '');
        const angle = ((turned ? Number(turned[1]) : 0) * Math.PI) / 180;
        const [cx, cy, rx, ry] = ['cx', 'cy', 'rx', 'ry'].map(name => number(each, name));
        const end = (x, y) => at(cx + x * Math.cos(angle) - y * Math.sin(angle), cy + x * Math.sin(angle) + y * Math.cos(angle));
        return [end(rx, 0), end(-rx, 0), end(0, ry), end(0, -ry)];
      },
    };
    const found = [];
    let current = [];
    for (const each of svg.children) {
      if (each.tagName === 'g' && each.dataset.annotationUid) {
        const lines = [...each.querySelectorAll('tspan')].map(line => line.textContent);
        found.push({ uid: each.dataset.annotationUid, lines, shapes: current });
        current = [];
      } else if (each.tagName in shapes && each.getAttribute('stroke-dasharray') !== '2,3') { // that is the line to the label
        current.push({ kind: each.tagName, points: shapes[each.tagName](each) });
      }
    }
    return found;
  },

  /** Points of the window in the patient's coordinates (mm), or in those that the viewer gives an image without any. */
  inTheImage(points) {
    const viewport = this.viewport();
    const { left, top } = viewport.canvas.getBoundingClientRect();
    return points.map(([x, y]) => [...viewport.canvasToWorld([x - left, y - top])]);
  },

  /** What was taken over from a report: the tool's points in mm, and the lines that the panel at the right has for it. */
  taken() {
    const lines = document.body.innerText.split('\n').map(line => line.trim()).filter(Boolean);
    return services.measurementService.getMeasurements().map(({ label, toolName, points }) => {
      const start = lines.lastIndexOf(label);
      return { label, tool: toolName, points: points.map(point => [...point]), lines: lines.slice(start, start + 5) };
    });
  },
};

new MutationObserver(changes => {
  const texts = changes.flatMap(each => (each.type === 'characterData' ? [each.target] : [...each.addedNodes]));
  seen.offered ||= texts.some(each => each.textContent.includes('continue tracking measurements'));
}).observe(document.body, { childList: true, characterData: true, subtree: true });
