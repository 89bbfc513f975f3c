// The page works without this. With it, filters apply as they change, the page
// stays up to date, and moments show their local time.
"use strict";

const REFRESH_MS = 30_000;
const TYPING_MS = 200;
const LIVE = ["summary", "results", "tenants", "agents", "as-of"];

const form = document.getElementById("filters");
let running = null;

function localTimes() {
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
    if (at.getTimezoneOffset() !== 0 && time.childElementCount === 0) {
      const local = document.createElement("span");
      local.textContent = ` (${at.toLocaleTimeString(undefined, { timeStyle: "short" })} local)`;
      time.append(local);
    }
  }
}

/** The URL that the filters ask for: what is empty or usual is left out. */
function wanted() {
  const query = new URLSearchParams(new FormData(form));
  for (const [key, value] of [...query]) {
    if (value.trim() === "") query.delete(key);
  }
  const natural = query.get("sort") === "overdue" ? "desc" : "asc";
  if (query.get("order") === natural) query.delete("order");
  if (query.get("sort") === "status") query.delete("sort");
  const text = query.toString();
  return text === "" ? "./" : `./?${text}`;
}

/** Replaces what changes by what is at `url` now; true if that worked. */
async function show(url) {
  running?.abort();
  const request = new AbortController();
  running = request;
  try {
    const answer = await fetch(url, { signal: request.signal });
    if (!answer.ok) return false;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of LIVE) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (old && fresh) old.replaceWith(document.adoptNode(fresh));
    }
    const [old, fresh] = [document.getElementById("count"), page.getElementById("count")];
    // Only a change is read out.
    if (old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
    localTimes();
    return true;
  } catch {
    return false;
  } finally {
    if (running === request) running = null;
  }
}

async function filter() {
  const url = wanted();
  if (await show(url)) history.replaceState(null, "", url);
}

/** Nothing moves under a reader's hands. */
function isBusy() {
  const inUse = LIVE.some((id) => document.getElementById(id)?.contains(document.activeElement));
  return document.hidden || running !== null || inUse || String(document.getSelection()) !== "";
}

function startFiltering() {
  let typing;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(filter, event.target.type === "search" ? TYPING_MS : 0);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    filter();
  });
}

/** Refreshes now and then, until the reader says no. */
function startRefreshing() {
  const button = document.createElement("button");
  let timer = null;
  const toggle = () => {
    if (timer === null) {
      timer = setInterval(() => { if (!isBusy()) show(location.href); }, REFRESH_MS);
    } else {
      clearInterval(timer);
      timer = null;
    }
    button.textContent = timer === null ? "Auto-refresh: off" : "Auto-refresh: on";
  };
  button.type = "button";
  button.id = "refresh";
  button.addEventListener("click", toggle);
  document.querySelector("header.top").append(button);
  toggle();
}

localTimes();
if (form) {
  document.documentElement.classList.add("live");
  startFiltering();
  startRefreshing();
}
