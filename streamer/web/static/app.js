"use strict";
// The dashboard: the list of conversations, one in detail, the own microphone.

const byId = (id) => document.getElementById(id);
const MOODS = 60;
const LINES = 500;
let token = sessionStorage.getItem("token");
let chosen = null;
let detail = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function address(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

// A WebSocket that connects again until it is closed by us; `first` gives its first message.
function keepOpen(path, first, take) {
  const link = { closed: false, socket: null };
  let pause = 250;
  const open = () => {
    const socket = (link.socket = new WebSocket(address(path)));
    socket.onopen = () => {
      pause = 250;
      byId("connection").textContent = TEXTS.connected;
      socket.send(JSON.stringify({ ...first(), token }));
    };
    socket.onmessage = (message) => take(JSON.parse(message.data));
    socket.onclose = (event) => {
      if (link.closed || event.code === 1000) return;
      if (event.code === 4401) return askToken(open);
      byId("connection").textContent = TEXTS.lost;
      setTimeout(open, pause);
      pause = Math.min(5000, pause * 2);
    };
  };
  link.close = () => {
    link.closed = true;
    link.socket.close();
  };
  open();
  return link;
}

function askToken(then) {
  token = prompt(TEXTS.token) || "";
  sessionStorage.setItem("token", token);
  if (token) then();
}

function showList(message) {
  const list = byId("conversations");
  const focused = document.activeElement && document.activeElement.dataset.session;
  list.replaceChildren();
  if (!message.conversations.length) list.append(element("li", TEXTS.none, "quiet"));
  for (const each of message.conversations) {
    const button = element("button");
    button.type = "button";
    button.dataset.session = each.session;
    button.setAttribute("aria-pressed", String(each.session === chosen));
    const state = [each.finished ? TEXTS.finished : TEXTS.running, clock(each.position)];
    if (each.paused) state.push(TEXTS.paused);
    if (each.behind) state.push(TEXTS.behind);
    if (each.lag >= 1) state.push(TEXTS.lag(each.lag));
    if (each.lost > 0) state.push(TEXTS.lost_audio(each.lost));
    if (each.alerts) state.push(TEXTS.alerts(each.alerts));
    button.append(element("strong", each.session), element("br"), element("span", state.join(" · "), "quiet"));
    button.onclick = () => choose(each.session);
    const item = element("li");
    item.append(button);
    list.append(item);
    if (focused === each.session) button.focus();
  }
  if (chosen === null && message.conversations.length) choose(message.conversations[0].session);
}

function choose(session) {
  if (detail) detail.link.close();
  chosen = session;
  for (const button of document.querySelectorAll("#conversations button")) {
    button.setAttribute("aria-pressed", String(button.dataset.session === session));
  }
  byId("detail").hidden = false;
  byId("detail-title").textContent = session;
  byId("transcript").replaceChildren();
  byId("speakers").replaceChildren();
  const state = (detail = { last: -1, speakers: new Map(), talked: 0 });
  state.link = keepOpen(
    "/watch",
    () => ({ session, after: state.last }),
    (event) => state === detail && take(state, event),
  );
}

function take(state, event) {
  if (event.type === "skipped") return line(null, TEXTS.skipped(event.count), "");
  if (event.seq <= state.last) return;
  state.last = event.seq;
  if (event.type === "session_started") {
    byId("facts").textContent = `${event.source} · ${event.model.name} ${event.model.version} · ${event.asr}`;
    event.channels.forEach((name) => speaker(state, name));
  } else if (event.type === "speech_started" || event.type === "speech_update") {
    const [label] = likeliest(event.probabilities || {});
    const now = label ? `${TEXTS.speaking}: ${label}` : TEXTS.speaking;
    speaker(state, event.channel).now.textContent = event.text ? `${now} · ${event.text}` : now;
  } else if (event.type === "utterance") {
    utterance(state, event);
  } else if (event.type === "mood") {
    mood(speaker(state, event.speaker || event.channel), event);
  } else if (event.type === "alert" && event.active) {
    line(event.at, `${TEXTS.alert}: ${event.rule}${event.speaker ? ` (${event.speaker})` : ""}`, "");
  } else if (event.type === "gap") {
    line(event.start, `${TEXTS.gap} (${event.channel}, ${event.reason})`, "");
  } else if (event.type === "sound") {
    line(event.start, `${TEXTS.sound}: ${event.sound} (${event.channel})`, "");
  }
}

function utterance(state, event) {
  const who = speaker(state, event.speaker || event.channel);
  who.now.textContent = "";
  who.seconds += event.end - event.start;
  state.talked += event.end - event.start;
  for (const each of state.speakers.values()) {
    each.share.textContent = TEXTS.share(Math.round((100 * each.seconds) / state.talked));
  }
  const label = event.emotion === null ? TEXTS.unknown : event.emotion;
  const sure = event.abstained ? TEXTS.unsure : `${Math.round(100 * event.confidence)} %`;
  line(event.start, `${event.speaker || event.channel}: ${event.text || "…"}`, label, sure);
}

function line(at, text, label, sure) {
  const item = element("li");
  if (at !== null) item.append(element("span", `${clock(at)} `, "quiet"));
  if (label) item.append(element("span", `${label} `, `emotion ${label}`), element("span", `(${sure}) `, "quiet"));
  item.append(element("span", text));
  const list = byId("transcript");
  list.prepend(item);
  while (list.children.length > LINES) list.lastChild.remove();
}

function speaker(state, name) {
  if (!state.speakers.has(name)) {
    const box = element("div", undefined, "speaker");
    const made = { name, seconds: 0, values: [], share: element("p", "", "quiet"), now: element("p", "") };
    made.curve = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    made.curve.setAttribute("viewBox", "0 0 100 40");
    made.curve.setAttribute("preserveAspectRatio", "none");
    made.curve.setAttribute("role", "img");
    made.label = element("p", "");
    box.append(element("h3", name), made.share, made.curve, made.label, made.now);
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
  who.label.textContent = `${label} ${Math.round(100 * value)} %, ${event.trend}`;
  who.curve.setAttribute("aria-label", `${who.name}: ${who.label.textContent}`);
  const step = 100 / Math.max(1, who.values.length - 1);
  const points = who.values.map((v, i) => `${(i * step).toFixed(1)},${(20 - 18 * v).toFixed(1)}`);
  const shape = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([key, text]) => made.setAttribute(key, text));
    return made;
  };
  const stroke = { fill: "none", stroke: "currentColor", "vector-effect": "non-scaling-stroke" };
  who.curve.replaceChildren(
    shape("line", { x1: 0, x2: 100, y1: 20, y2: 20, "stroke-dasharray": "3 3", opacity: 0.5, ...stroke }),
    shape("polyline", { points: points.join(" "), "stroke-width": 2, ...stroke }),
  );
}

function likeliest(probabilities) {
  return Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a), ["", 0]);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

// The own microphone: WebM/Opus from MediaRecorder to /ws.
let recording = null;

async function toggleMicrophone() {
  if (recording) return stopMicrophone();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    byId("microphone-state").textContent = `${TEXTS.refused} ${error.message}`;
    return;
  }
  const socket = new WebSocket(address("/ws"));
  const recorder = new MediaRecorder(stream, { mimeType: "audio/webm;codecs=opus" });
  recording = { stream, socket, recorder };
  recorder.ondataavailable = async (event) => {
    const data = await event.data.arrayBuffer();
    if (socket.readyState === WebSocket.OPEN && data.byteLength) socket.send(data);
  };
  recorder.onstop = () => setTimeout(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "end" }));
  }, 100);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "start", format: "opus-in-webm", channels: ["me"], token }));
    recorder.start(250);
    byId("microphone").textContent = TEXTS.stop;
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type !== "session_started") return;
    byId("microphone-state").textContent = `${TEXTS.heard} ${event.session}`;
    choose(event.session);
  };
  socket.onclose = (event) => {
    if (event.reason) byId("microphone-state").textContent = event.reason;
    stopMicrophone();
  };
}

function stopMicrophone() {
  if (!recording) return;
  const { stream, recorder } = recording;
  recording = null;
  if (recorder.state !== "inactive") recorder.stop();
  stream.getTracks().forEach((track) => track.stop());
  byId("microphone").textContent = TEXTS.start;
}

byId("conversations-title").textContent = TEXTS.conversations;
byId("microphone").textContent = TEXTS.start;
byId("microphone").onclick = toggleMicrophone;
keepOpen("/watch", () => ({}), showList);
