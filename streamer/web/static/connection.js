// WebSockets to the server that connect again, and small helpers that all parts of the page share.
import { TEXTS } from "./texts.js";

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5000; // milliseconds
const FINISHED = 1000;
const WRONG_TOKEN = 4401;
const FINAL = [FINISHED, 4400];

export const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token");

export const currentToken = () => token;

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

export function address(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

// Keep a WebSocket open until it is closed here or has nothing more to say; `first` gives its first message.
export function keepOpen(path, first, take) {
  const link = { closed: false, socket: null };
  let pause = FIRST_PAUSE;
  const open = () => {
    if (link.closed) return;
    const socket = (link.socket = new WebSocket(address(path)));
    socket.onopen = () => {
      pause = FIRST_PAUSE;
      byId("connection").textContent = TEXTS.connected;
      socket.send(JSON.stringify({ ...first(), token }));
    };
    socket.onmessage = (message) => take(JSON.parse(message.data));
    socket.onclose = (event) => {
      if (link.closed || FINAL.includes(event.code)) return;
      if (event.code === WRONG_TOKEN) return askToken(open);
      byId("connection").textContent = TEXTS.lost;
      setTimeout(open, pause);
      pause = Math.min(LONGEST_PAUSE, pause * 2);
    };
  };
  link.send = (message) => {
    if (link.socket.readyState === WebSocket.OPEN) link.socket.send(JSON.stringify(message));
  };
  link.close = () => {
    link.closed = true;
    link.socket.close();
  };
  open();
  return link;
}

let asking = null; // several links may be refused at once: one question for all
function askToken(then) {
  if (asking === null) {
    token = prompt(TEXTS.token) || "";
    sessionStorage.setItem("token", token);
    asking = setTimeout(() => (asking = null), 1000);
  }
  if (token) setTimeout(then, FIRST_PAUSE);
}
