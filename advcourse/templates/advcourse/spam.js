// Runs in a page without a kernel (lecture 12): scores what is typed with the filters embedded in it.
// f: the figure. Returns the function that every control calls.
const d = JSON.parse(f.querySelector("template").content.textContent);
const part = (name) => f.querySelector(`[data-part="${name}"]`);
const numbers = (packed) =>
  new Int16Array(Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0)).buffer);
const words = [];
for (const item of d.words.split(" ")) {
  words.push((words[words.length - 1] || "").slice(0, parseInt(item[0], 36)) + item.slice(1));
}
const place = new Map(words.map((word, i) => [word, i]));
const scale = Array.from(numbers(d.scale), (v) => v * d.scale.unit);
const rounds = d.rounds.map((filters) => filters.map((o) => {
  const weights = Array.from(numbers(o.weights), (v) => v * o.weights.unit);
  const pull = o.scaled ? weights.map((v, i) => v * scale[i]) : weights;
  const order = pull.map((_, i) => i).sort((a, b) => pull[a] - pull[b]);
  return { ...o, pull, order };
}));
const split = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) || [];

function state(o, text) {
  const count = new Map();
  for (const word of split(text)) {
    if (place.has(word)) count.set(place.get(word), (count.get(place.get(word)) || 0) + 1);
  }
  let total = 0, square = 0;
  for (const [i, n] of count) {
    total += n * o.pull[i];
    square += (n * (o.scaled ? scale[i] : 1)) ** 2;
  }
  return { count, total, square };
}
const value = (o, total, square) => total / (o.scaled ? Math.sqrt(square) || 1 : 1) + o.bias;
function score(o, text) {
  const now = state(o, text);
  return value(o, now.total, now.square);
}

// The attacker of advcourse.beyond.greedy: the word that lowers score times length most.
function greedy(o, text, budget) {
  let { count, total, square } = state(o, text);
  const added = [];
  while (value(o, total, square) > 0 && added.length < budget) {
    let best = -1, least = Infinity, longer = 0;
    for (let i = 0; i < words.length; i++) {
      if (added.includes(i)) continue;
      const more = o.scaled ? scale[i] ** 2 * (2 * (count.get(i) || 0) + 1) : 0;
      const reached = total + o.pull[i] + o.bias * (o.scaled ? Math.sqrt(square + more) : 1);
      if (reached < least) [best, least, longer] = [i, reached, more];
    }
    if (!(least < total + o.bias * (o.scaled ? Math.sqrt(square) : 1))) break; // none is left that helps
    total += o.pull[best];
    square += longer;
    added.push(best);
  }
  return added.map((i) => words[i]);
}

const signed = (v) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(2);
function draw() {
  const filters = rounds[+part("round").value], text = d.texts[+part("message").value];
  const typed = part("words").value, added = split(typed);
  part("text").textContent = text;
  const told = [];
  f.querySelectorAll('[data-part="bar"]').forEach((bar, k) => {
    const o = filters[k], s = score(o, `${text} ${typed}`);
    const share = 50 * Math.min(Math.abs(s) / o.span, 1), fill = bar.querySelector('[data-part="fill"]');
    fill.style.left = `${s > 0 ? 50 : 50 - share}%`;
    fill.style.width = `${share}%`;
    fill.style.background = s > 0 ? d.colors[0] : d.colors[1];
    bar.firstElementChild.textContent = o.name;
    bar.querySelector('[data-part="said"]').textContent =
      `${s < 0 ? "-" : "+"}${Math.abs(s).toFixed(2)}, ${s > 0 ? "spam: caught" : "ham: passes"}`;
    told.push(`${o.name} ${s > 0 ? "catches it" : "lets it pass"}`);
  });
  part("status").textContent =
    `${added.length} word${added.length === 1 ? "" : "s"} added: ${told.join(", ")}.`;
  const aim = filters[+part("against").value], offers = part("offers");
  const best = aim.order.slice(0, d.buttons + added.length).filter((i) => !added.includes(words[i]));
  offers.replaceChildren(...best.slice(0, d.buttons).map((i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.part = "offer";
    button.dataset.word = words[i];
    button.style.margin = "0 .3em .3em 0";
    button.textContent = `${words[i]} ${signed(aim.pull[i])}`;
    button.setAttribute("aria-label", `add the word ${words[i]}`);
    button.onclick = () => play(button);
    return button;
  }));
}

function play(control) {
  const name = control.dataset.part;
  const aim = rounds[+part("round").value][+part("against").value];
  const text = d.texts[+part("message").value];
  if (["message", "round", "against", "again"].includes(name)) {
    part("words").value = "";
    part("budget").value = 0;
  }
  if (name === "offer") {
    part("words").value = `${part("words").value} ${control.dataset.word}`.trim();
  }
  if (name === "optimal") part("budget").value = greedy(aim, text, +part("budget").max).length;
  if (name === "budget" || name === "optimal") {
    part("words").value = greedy(aim, text, +part("budget").value).join(" ");
  }
  part("budget").nextElementSibling.textContent = part("budget").value;
  draw();
}
return play;
