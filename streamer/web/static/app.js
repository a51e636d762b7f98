// The dashboard: the list of conversations. One in detail, the microphone and the nodes have files of their own.
import { byId, clock, element, keepOpen } from "./connection.js";
import { chosen, choose, refresh } from "./detail.js";
import { showFleet } from "./fleet.js";
import { prepareMicrophone } from "./microphone.js";
import { TEXTS } from "./texts.js";

const rows = new Map();
let fleetShown = false;

function showList(message) {
  if (message.fleet && !fleetShown) {
    fleetShown = true;
    keepOpen("/watch", () => ({ fleet: true }), showFleet);
  }
  const list = byId("conversations");
  const known = new Set(message.conversations.map((each) => each.session));
  for (const [session, row] of rows) {
    if (known.has(session)) continue;
    row.item.remove();
    rows.delete(session);
  }
  message.conversations.forEach((each, place) => {
    const row = rows.get(each.session) || addRow(each.session);
    if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] || null);
    const state = describe(each);
    if (row.state.textContent !== state) row.state.textContent = state;
    row.button.setAttribute("aria-pressed", String(each.session === chosen()));
    if (each.session === chosen()) refresh(each);
  });
  byId("none").hidden = rows.size > 0;
  if (chosen() === null && message.conversations.length) select(message.conversations[0].session);
}

function addRow(session) {
  const row = { item: element("li"), button: element("button"), state: element("span", "", "quiet") };
  row.button.type = "button";
  row.button.dataset.session = session;
  row.button.append(element("strong", session), element("br"), row.state);
  row.button.onclick = () => select(session);
  row.item.append(row.button);
  rows.set(session, row);
  return row;
}

function describe(each) {
  const state = [each.finished ? TEXTS.finished : TEXTS.running, clock(each.position)];
  if (each.paused && !each.finished) state.push(TEXTS.paused);
  if (each.behind && !each.finished) state.push(TEXTS.behind);
  if (each.lag >= 1 && !each.finished) state.push(TEXTS.lag(each.lag));
  if (each.lost > 0) state.push(TEXTS.lost_audio(each.lost));
  if (each.alerts) state.push(TEXTS.alerts(each.alerts));
  return state.join(" · ");
}

function select(session) {
  choose(session);
  for (const [name, row] of rows) row.button.setAttribute("aria-pressed", String(name === session));
}

document.title = TEXTS.title;
byId("title").textContent = TEXTS.title;
byId("conversations-title").textContent = TEXTS.conversations;
byId("none").textContent = TEXTS.none;
prepareMicrophone(select);
keepOpen("/watch", () => ({}), showList);
