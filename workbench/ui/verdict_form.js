// One verdict by keyboard: everything is chosen here without a round trip, and told to the server once, by `said`.
// What is chosen lives in `form` beside the element; it starts anew when another item is shown, and only then.

const forms = new WeakMap();
const STUCK = 8000; // milliseconds without an answer, after which one may try again: the server counts it once

export default function verdictForm({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".form");
  const form = forms.get(parentElement) ?? { shown: "", turn: -1 };
  forms.set(parentElement, form);
  if (form.shown !== data.shown) Object.assign(form, begun(data));
  if (form.turn !== data.turn) Object.assign(form, { turn: data.turn, busy: false });

  const draw = () => render(root, data, form, act);
  const tell = (verb, more = {}) => {
    if (form.busy) return;
    form.busy = true;
    const turn = form.turn;
    setTimeout(() => {
      if (form.turn === turn && form.busy) {
        form.busy = false;
        draw();
      }
    }, STUCK);
    setTriggerValue("said", { verb, item: data.item, shown: data.shown, ...more });
    draw();
  };
  const act = {
    disposition: (name) => set({ disposition: name }),
    cause: (name) => set({ causes: toggled(form.causes, name, data.several) }),
    confidence: (name) => set({ confidence: name }),
    component: (id) => set({ component: id, missing: "" }),
    write: (field, text) => form.busy || Object.assign(form, { [field]: text }),
    aside: (on) => set({ aside: on }),
    skip: (reason) => tell("skip", { reason }),
    submit: () => form.aside || tell("submit", { verdict: verdict(form), seconds: (Date.now() - form.since) / 1000 }),
    tell,
  };
  const set = (fields) => {
    if (form.busy) return; // the item it would be said of is on its way out
    Object.assign(form, fields);
    draw();
  };

  const pressed = (event) => {
    if (event.defaultPrevented || event.altKey || !root.isConnected || document.querySelector("[role=dialog]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return take(event, act.submit);
    const typing = writes(event.composedPath()[0]);
    if (event.key === "Escape") return take(event, () => (typing ? event.composedPath()[0].blur() : act.aside(false)));
    if (typing || event.ctrlKey || event.metaKey || event.repeat) return;
    const does = keys(data, form, act, root)[event.key.toLowerCase()];
    if (does) take(event, does);
  };
  form.deaf?.(); // this function runs again with new data, and the keys must not be heard by an older run
  form.deaf = () => document.removeEventListener("keydown", pressed, true);
  document.addEventListener("keydown", pressed, true);
  draw();
  return form.deaf;
}

function begun(data) {
  const kept = data.mine ?? {};
  return {
    shown: data.shown,
    fresh: true,
    since: Date.now(),
    busy: false,
    aside: false,
    disposition: kept.disposition ?? "real",
    causes: kept.causes ?? [],
    component: kept.missing ? MISSING : kept.component ?? "",
    missing: kept.missing ?? "",
    confidence: kept.confidence ?? "high",
    note: kept.note ?? "",
  };
}

const verdict = ({ disposition, causes, component, missing, confidence, note }) => ({
  disposition,
  causes,
  component: component === MISSING ? "" : component,
  missing: component === MISSING ? missing : "",
  confidence,
  note,
});

const MISSING = "\u0000missing";
const CONFIDENCE = [["high", "High", "q"], ["medium", "Medium", "w"], ["low", "Low", "t"]];

function toggled(chosen, name, several) {
  if (!several) return [name];
  return chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name];
}

function keys(data, form, act, root) {
  const focus = (part) => () => root.querySelector(part)?.focus();
  const map = { n: focus(".note"), g: focus(".component"), u: () => act.tell("undo"), p: () => act.tell("previous") };
  map.s = () => act.aside(!form.aside);
  if (data.onward) map.b = () => act.tell("onward");
  if (form.aside) {
    data.reasons.forEach((reason, place) => (map[place + 1] = () => act.skip(reason)));
    return map;
  }
  for (const { name, key } of data.dispositions) map[key] = () => act.disposition(name);
  for (const [name, , key] of CONFIDENCE) map[key] = () => act.confidence(name);
  for (const { name, key } of data.causes) map[key] = () => act.cause(name);
  return map;
}

const writes = (element) =>
  element instanceof HTMLElement && (element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName));

function take(event, does) {
  event.preventDefault();
  event.stopPropagation();
  does();
}

// ── drawing ──

function render(root, data, held, act) {
  // while it is kept the form is empty, as it will be for the next item; what is refused stands in it again
  const form = held.busy ? { ...begun({}), busy: true } : held;
  const active = root.getRootNode().activeElement;
  const place = reachable(root).indexOf(active);
  const caret = active?.selectionStart;
  const rows = form.aside ? [
    element("p", "asked", "Why do you put it aside? Esc goes back."),
    row("Put it aside because", data.reasons.map((reason, place) =>
      choice(reason, place + 1, false, () => act.skip(reason))), "grid"),
  ] : [
    row("Disposition", data.dispositions.map((one) =>
      choice(one.label, one.key, form.disposition === one.name, () => act.disposition(one.name))), "line"),
    row(data.several ? "Causes, as many as hold" : "Cause", data.causes.map((one) =>
      choice(one.label, one.key, form.causes.includes(one.name), () => act.cause(one.name))), "grid"),
    element("div", "line", ...component(data, form, act)),
    row("Confidence", CONFIDENCE.map(([name, label, key]) =>
      choice(label, key, form.confidence === name, () => act.confidence(name))), "line"),
    written("note", "Leave a note (N)", "Note", form, act, 4000),
  ];
  const submit = button("Submit", "Ctrl ⏎", act.submit, "submit");
  submit.disabled = form.busy;
  const others = [
    button(form.aside ? "Go back" : "Skip", "S", () => act.aside(!form.aside)),
    button("Undo", "U", () => act.tell("undo")),
    button("Previous", "P", () => act.tell("previous")),
    ...(data.onward ? [button("Queue", "B", () => act.tell("onward"))] : []),
  ];
  const told = element("p", data.refused ? "refused" : "told", form.busy ? "Keeping it…" : data.refused || data.told);
  told.setAttribute("role", "status");
  root.replaceChildren(...rows, ...(form.aside ? [] : [submit]), element("div", "line others", ...others), told);
  root.dataset.item = data.item;
  root.dataset.shown = form.busy ? "" : data.shown;
  root.setAttribute("aria-busy", String(form.busy));
  // a new item begins with no field in hand, or the next key would be written into it
  const again = form.fresh ? root : reachable(root)[place];
  if (place >= 0) again?.focus({ preventScroll: true });
  held.fresh = false;
  if (caret != null && again?.setSelectionRange) again.setSelectionRange(caret, caret);
}

const reachable = (root) => [...root.querySelectorAll("button, select, input")];

function component(data, form, act) {
  const select = element("select", "component");
  select.setAttribute("aria-label", "Component");
  const far = form.component && form.component !== MISSING && !data.components.some(([id]) => id === form.component);
  const options = [
    ["", "Component: not said (G)"],
    ...(far ? [[form.component, form.component]] : []),
    ...data.components,
    [MISSING, "Not in the graph…"],
  ];
  for (const [id, label] of options) {
    const option = element("option", "", label);
    option.value = id;
    option.selected = id === form.component;
    select.append(option);
  }
  select.onchange = () => {
    const root = select.closest(".form"); // drawing anew takes the element at hand away
    act.component(select.value);
    if (select.value === MISSING) root.querySelector(".missing")?.focus();
  };
  if (form.component !== MISSING) return [select];
  return [select, written("missing", "Its name: it is proposed as a new node", "Name of the component", form, act, 160)];
}

function written(field, hint, label, form, act, most) {
  const input = element("input", field);
  Object.assign(input, { value: form[field], placeholder: hint, maxLength: most });
  input.setAttribute("aria-label", label);
  input.oninput = () => act.write(field, input.value);
  return input;
}

function row(label, parts, kind) {
  const made = element("div", kind, ...parts);
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", label);
  return made;
}

function choice(label, key, on, does) {
  const made = button(label, key, does, on ? "choice on" : "choice");
  made.setAttribute("aria-pressed", String(on));
  return made;
}

function button(label, key, does, kind = "plain") {
  const made = element("button", kind, element("span", "", label), element("kbd", "", String(key).toUpperCase()));
  made.type = "button";
  made.onclick = does;
  return made;
}

function element(tag, kind, ...parts) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...parts.filter((part) => part != null));
  return made;
}
