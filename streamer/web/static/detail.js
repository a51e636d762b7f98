// One conversation in detail: who speaks, moods, talk share, what was said and what was lost; steering and report.
import { byId, clock, element, keepOpen } from "./connection.js";
import { TEXTS } from "./texts.js";

const MOODS = 60; // points of a curve
const LINES = 500; // lines of the transcript
const SVG = "http://www.w3.org/2000/svg";

let session = null;
let detail = null;

export const chosen = () => session;

export function choose(wanted) {
  if (detail) detail.link.close();
  session = wanted;
  byId("detail").hidden = false;
  byId("detail-title").textContent = wanted;
  byId("facts").textContent = "";
  byId("transcript").replaceChildren();
  byId("speakers").replaceChildren();
  byId("steering").hidden = true;
  byId("report").hidden = true;
  const state = (detail = { last: -1, speakers: new Map(), talked: 0, paused: false });
  state.link = keepOpen(
    "/watch",
    () => ({ session: wanted, after: state.last }),
    (event) => state === detail && take(state, event),
  );
}

// What the list says of the chosen conversation: whether it can be steered, and where its report is.
export function refresh(row) {
  detail.paused = row.paused;
  byId("steering").hidden = row.finished;
  byId("pause").textContent = row.paused ? TEXTS.resume : TEXTS.pause;
  byId("pause").setAttribute("aria-pressed", String(row.paused));
  byId("report").hidden = !row.report;
  if (row.report) byId("report").href = row.report;
}

function take(state, event) {
  if (event.type === "skipped") return line(null, TEXTS.skipped(event.count));
  if (event.seq <= state.last) return;
  state.last = event.seq;
  const takes = TAKES[event.type];
  if (takes) takes(state, event);
}

const TAKES = {
  session_started(state, event) {
    byId("facts").textContent = `${event.source} · ${event.model.name} ${event.model.version} · ${event.asr}`;
    event.channels.forEach((name) => speaker(state, name));
  },
  session_ended: (state, event) => line(event.duration, `${TEXTS.ended} (${event.reason})`),
  speech_started: (state, event) => speaking(state, event),
  speech_update: (state, event) => speaking(state, event),
  utterance,
  mood: (state, event) => mood(speaker(state, event.speaker || event.channel), event),
  alert(state, event) {
    if (event.active) line(event.at, `${TEXTS.alert}: ${event.rule}${event.speaker ? ` (${event.speaker})` : ""}`);
  },
  gap: (state, event) => line(event.start, `${TEXTS.gap} (${event.channel}, ${event.reason})`),
  sound: (state, event) => line(event.start, `${TEXTS.sound}: ${event.sound} (${event.channel})`),
  mark: (state, event) => line(event.at, `${TEXTS.mark}${event.label ? `: ${event.label}` : ""}`),
  error: (state, event) => line(null, `${TEXTS.problem} (${event.part}): ${event.message}`),
};

function speaking(state, event) {
  const [label] = likeliest(event.probabilities || {});
  const who = speaker(state, event.speaker || event.channel);
  const now = label ? `${TEXTS.speaking}: ${label}` : TEXTS.speaking;
  who.now.textContent = event.text ? `${now} · ${event.text}` : now;
}

function utterance(state, event) {
  const name = event.speaker || event.channel;
  const who = speaker(state, name);
  if (name !== event.channel) unname(state, event.channel);
  for (const each of [who, state.speakers.get(event.channel)]) if (each) each.now.textContent = "";
  who.seconds += event.end - event.start;
  state.talked += event.end - event.start;
  for (const each of state.speakers.values()) {
    const percent = Math.round((100 * each.seconds) / state.talked);
    each.share.textContent = TEXTS.share(percent);
    each.bar.value = percent;
  }
  const label = event.emotion === null ? TEXTS.unknown : event.emotion;
  const sure = event.abstained ? TEXTS.unsure : `${Math.round(100 * event.confidence)} %`;
  line(event.start, `${name}: ${event.text || "…"}`, label, sure);
}

// A channel in which several speakers were found has no part of its own.
function unname(state, channel) {
  const whole = state.speakers.get(channel);
  if (!whole || whole.seconds > 0) return;
  whole.box.remove();
  state.speakers.delete(channel);
}

function line(at, text, label, sure) {
  const item = element("li");
  if (at !== null) item.append(element("span", `${clock(at)} `, "quiet"));
  if (label) {
    item.append(element("span", `${label} `, `emotion ${label.replace(/[^a-z]/g, "")}`));
    item.append(element("span", `(${sure}) `, "quiet"));
  }
  item.append(element("span", text));
  const list = byId("transcript");
  list.prepend(item);
  while (list.children.length > LINES) list.lastChild.remove();
}

function speaker(state, name) {
  if (!state.speakers.has(name)) {
    const box = element("div", undefined, "speaker");
    const made = { name, box, seconds: 0, values: [], share: element("p", "", "quiet"), now: element("p", "", "now") };
    made.bar = element("meter");
    Object.assign(made.bar, { min: 0, max: 100, value: 0 });
    made.bar.setAttribute("aria-hidden", "true"); // the text beside it says the same
    made.curve = shape("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": name });
    made.label = element("p", "");
    box.append(element("h3", name), made.share, made.bar, made.curve, made.label, made.now);
    byId("speakers").append(box);
    state.speakers.set(name, made);
  }
  return state.speakers.get(name);
}

// The mood curve: pleasant above, unpleasant below the middle line.
function mood(who, event) {
  const p = event.probabilities;
  who.values.push((p.happy || 0) - (p.angry || 0) - (p.sad || 0));
  who.values.splice(0, who.values.length - MOODS);
  const [label, value] = likeliest(p);
  who.label.textContent = TEXTS.mood(label, Math.round(100 * value), event.trend);
  who.curve.setAttribute("aria-label", `${who.name}: ${who.label.textContent}`);
  const step = 100 / Math.max(1, who.values.length - 1);
  const points = who.values.map((v, i) => `${(i * step).toFixed(1)},${(20 - 18 * v).toFixed(1)}`);
  const stroke = { fill: "none", stroke: "currentColor", "vector-effect": "non-scaling-stroke" };
  who.curve.replaceChildren(
    shape("line", { x1: 0, x2: 100, y1: 20, y2: 20, "stroke-dasharray": "3 3", opacity: 0.5, ...stroke }),
    shape("polyline", { points: points.join(" "), "stroke-width": 2, ...stroke }),
  );
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([key, text]) => made.setAttribute(key, text));
  return made;
}

function likeliest(probabilities) {
  return Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a), ["", 0]);
}

byId("steering").setAttribute("aria-label", TEXTS.steering);
byId("transcript").setAttribute("aria-label", TEXTS.transcript);
byId("mark").textContent = TEXTS.set_mark;
byId("end").textContent = TEXTS.end;
byId("report").textContent = TEXTS.report;
byId("pause").onclick = () => detail.link.send({ type: detail.paused ? "resume" : "pause" });
byId("mark").onclick = () => detail.link.send({ type: "mark" });
byId("end").onclick = () => detail.link.send({ type: "end" });
