// The own microphone to /ws: WebM/Opus from MediaRecorder, or 16-bit PCM from an AudioWorklet.
import { address, byId, currentToken, element } from "./connection.js";
import { TEXTS } from "./texts.js";

const OPUS = "audio/webm;codecs=opus";
const SLICE = 250; // milliseconds of a piece of WebM
const LAST = 100; // milliseconds until the last piece has been sent

let recording = null;

export function prepareMicrophone(choose) {
  byId("encoding-label").textContent = TEXTS.encoding;
  const recorder = typeof MediaRecorder !== "undefined" && MediaRecorder.isTypeSupported(OPUS);
  for (const kind of recorder ? ["opus", "pcm"] : ["pcm"]) {
    const option = element("option", TEXTS.encodings[kind]);
    option.value = kind;
    byId("encoding").append(option);
  }
  byId("microphone").textContent = TEXTS.start;
  byId("microphone").onclick = () => (recording ? stop() : start(choose));
}

async function start(choose) {
  const state = byId("microphone-state");
  if (!navigator.mediaDevices) {
    state.textContent = `${TEXTS.refused} ${TEXTS.insecure}`;
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const encoder = byId("encoding").value === "opus" ? opus(stream) : await pcm(stream);
    recording = { stream, encoder, socket: connect(encoder, choose) };
    byId("microphone").textContent = TEXTS.stop;
    byId("encoding").disabled = true;
  } catch (error) {
    state.textContent = `${TEXTS.refused} ${error.message}`;
  }
}

function connect(encoder, choose) {
  const socket = new WebSocket(address("/ws"));
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "start", channels: ["me"], token: currentToken(), ...encoder.start }));
    encoder.begin((data) => socket.readyState === WebSocket.OPEN && socket.send(data));
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type !== "session_started") return;
    byId("microphone-state").textContent = `${TEXTS.heard} ${event.session}`;
    choose(event.session);
  };
  socket.onclose = (event) => {
    if (event.reason) byId("microphone-state").textContent = event.reason;
    stop();
  };
  return socket;
}

function stop() {
  if (!recording) return;
  const { stream, encoder, socket } = recording;
  recording = null;
  encoder.end();
  stream.getTracks().forEach((track) => track.stop());
  byId("microphone").textContent = TEXTS.start;
  byId("encoding").disabled = false;
  setTimeout(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "end" }));
  }, LAST);
}

function opus(stream) {
  const recorder = new MediaRecorder(stream, { mimeType: OPUS });
  return {
    start: { format: "opus-in-webm" },
    begin(send) {
      recorder.ondataavailable = async (event) => {
        const data = await event.data.arrayBuffer();
        if (data.byteLength) send(data);
      };
      recorder.start(SLICE);
    },
    end: () => recorder.state !== "inactive" && recorder.stop(),
  };
}

async function pcm(stream) {
  const context = new AudioContext();
  await context.audioWorklet.addModule("/static/pcm.js");
  const node = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
  return {
    start: { format: "s16le", rate: context.sampleRate },
    begin(send) {
      node.port.onmessage = (message) => send(message.data);
      context.createMediaStreamSource(stream).connect(node);
    },
    end: () => context.close(),
  };
}
