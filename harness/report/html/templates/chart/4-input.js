// Wheel, pinch, drag, keys and buttons. A page that is being scrolled past is not zoomed by accident.
let lastScroll = -Infinity;
addEventListener("scroll", (event) => { if (event.target === document) lastScroll = performance.now(); }, { passive: true, capture: true });

function listen(figure, svg, picture, view) {
  const pointers = new Map();
  let dragged = 0, pinch = null;

  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return picture.at(((event.clientX - box.left) * picture.width) / box.width);
  };

  svg.addEventListener("wheel", (event) => {
    const widest = event.deltaY > 0 && view.scale <= 1.0001;
    if (!event.ctrlKey && (widest || performance.now() - lastScroll < 250)) return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      view.pan(((event.deltaX || event.deltaY) / picture.width) * view.span);
    } else {
      const lines = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 300 : 1;
      view.zoom(Math.exp(-Math.max(-400, Math.min(400, event.deltaY * lines)) / (event.ctrlKey ? 100 : 350)), place(event));
    }
  }, { passive: false });

  svg.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    dragged = 0;
    pinch = null;
    if (event.isTrusted) svg.setPointerCapture(event.pointerId);
  });

  svg.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (!view.pinned) view.point(place(event));
      return;
    }
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [one, two] = [...pointers.values()];
      const now = { wide: Math.max(20, Math.abs(one.clientX - two.clientX)), middle: { clientX: (one.clientX + two.clientX) / 2 } };
      if (pinch) {
        view.pan(place(pinch.middle) - place(now.middle));
        view.zoom(now.wide / pinch.wide, place(now.middle));
      }
      pinch = now;
      dragged = 99;
    } else if (event.buttons || event.pointerType === "touch") {
      dragged += Math.abs(event.clientX - before.clientX);
      if (dragged > 4) view.pan(place(before) - place(event));
    }
  });

  const release = (event) => {
    if (!pointers.delete(event.pointerId) || event.type !== "pointerup") return;
    if (dragged <= 4 && !pointers.size) view.point(place(event), event.pointerType === "touch" || !view.pinned);
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);

  const actions = {
    in: () => view.zoom(1.6, near()),
    out: () => view.zoom(1 / 1.6, near()),
    outage: () => view.show(...view.start),
    all: () => view.show(view.first, view.last),
    left: () => view.pan(-view.span * 0.25),
    right: () => view.pan(view.span * 0.25),
  };
  // Zooming by key or button keeps the cursor in the window, if it is there.
  const near = () => (view.cursor > view.from && view.cursor < view.to ? view.cursor : undefined);
  const keys = {
    "+": actions.in, "=": actions.in, "-": actions.out, "_": actions.out, 0: actions.outage, a: actions.all,
    ArrowLeft: (event) => (event.shiftKey ? actions.left() : step(-1)),
    ArrowRight: (event) => (event.shiftKey ? actions.right() : step(1)),
    Home: () => step(-Infinity), End: () => step(Infinity),
  };
  const step = (by) => {
    view.point(Math.min(Math.max(view.cursor + by * view.span / 200, view.first), view.last), true);
    if (view.cursor < view.from || view.cursor > view.to) view.show(view.cursor - view.span / 2, view.cursor + view.span / 2);
  };

  figure.querySelectorAll("button").forEach((button) => button.addEventListener("click", actions[button.value]));
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key](event);
  });
}
