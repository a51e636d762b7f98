// The nodes of a broker.
import { byId, element } from "./connection.js";
import { TEXTS } from "./texts.js";

export function showFleet(message) {
  byId("fleet").hidden = false;
  byId("fleet-title").textContent = TEXTS.nodes(message.count, message.broker);
  const counts = Object.entries(message.conditions).map(([name, count]) => `${count} ${TEXTS.conditions[name]}`);
  byId("fleet-state").textContent = message.problem ? TEXTS.broker(message.problem) : counts.join(" · ");
  if (!byId("fleet-columns").children.length) {
    for (const name of TEXTS.columns) {
      const cell = element("th", name);
      cell.scope = "col";
      byId("fleet-columns").append(cell);
    }
  }
  byId("fleet-nodes").replaceChildren(...message.nodes.map(row));
}

function row(node) {
  const made = element("tr");
  const name = element("th", node.node);
  name.scope = "row";
  made.append(name, element("td", TEXTS.conditions[node.condition], `condition ${node.condition}`));
  const cells = [
    node.session || "",
    node.channels.join(", "),
    node.lag_ms === null ? "" : TEXTS.milliseconds(Math.round(node.lag_ms)),
    node.lost_audio ? TEXTS.seconds(node.lost_audio.toFixed(1)) : "",
    node.alerts.join(", "),
    node.seen === null ? "" : TEXTS.seconds(node.seen),
  ];
  made.append(...cells.map((text) => element("td", text)));
  return made;
}
