// Keeps a page as it is on the server: rows, parts and times. The page says where it asks (data-… of its body), and is
// complete without this. HTML comes from our own server alone, which has escaped whatever is not its own.
"use strict";
(() => {
    const { events, rows: rowsPath, row: rowPath, explain: explainPath, parts, nouns } = document.body.dataset;
    const [one, many] = nouns.split(" ");
    const part = (id) => document.getElementById(id);
    const rows = part("rows"), filter = part("filter"), count = part("count"), live = part("live");
    const pageTitle = document.title;
    const number = new Intl.NumberFormat("en");
    const pause = () => new Promise((resume) => setTimeout(resume));
    // How long a piece of work may keep the page from answering, in milliseconds.
    const SLICE = 12;

    // --- Times: those that can be seen tick.

    const loaded = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
    const skew = loaded / 1000 - Number(document.body.dataset.now);
    const ahead = Math.abs(skew) < 3 ? 0 : skew;
    const inSight = new Set();
    const sight = new IntersectionObserver((changes) => {
        for (const { target, isIntersecting } of changes) {
            if (isIntersecting) {
                inSight.add(target);
                tick(target);
            } else {
                inSight.delete(target);
            }
        }
    }, { rootMargin: "200px" });

    function relative(seconds) {
        const passed = Math.round(Date.now() / 1000 - ahead - seconds);
        const size = Math.abs(passed);
        if (size < 1) return "now";
        const [amount, unit] = size < 60 ? [size, "s"] : size < 3600 ? [size / 60, "min"]
            : size < 86400 ? [size / 3600, "h"] : [size / 86400, "d"];
        const text = `${Math.floor(amount)} ${unit}`;
        return passed < 0 ? `in ${text}` : `${text} ago`;
    }

    function tick(element) {
        for (const time of element.getElementsByTagName("time")) {
            time.title ||= time.textContent;
            const text = relative(Number(time.dataset.at));
            if (time.textContent !== text) time.textContent = text;
        }
    }

    function tickAll() {
        for (const id of ["about", "registries", "log"]) if (part(id)) tick(part(id));
        inSight.forEach(tick);
    }

    // --- The filter: every word must be in the row. It lives in the URL.

    const texts = new WeakMap();
    let words = [], filtering = 0, urlTimer;

    function matches(row) {
        let text = texts.get(row);
        if (text === undefined && words.length) texts.set(row, text = row.textContent.toLowerCase());
        return words.every((word) => text.includes(word));
    }

    async function applyFilter() {
        const mine = ++filtering;
        words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        clearTimeout(urlTimer);
        urlTimer = setTimeout(() => {
            const url = new URL(location.href);
            if (words.length) url.searchParams.set("q", filter.value.trim());
            else url.searchParams.delete("q");
            history.replaceState(null, "", url);
        }, 200);
        // First looked at, piece by piece; then changed at once, so that the page is laid out once.
        const changed = [];
        let began = performance.now();
        for (const row of Array.from(rows.children)) {
            if (row.hidden === matches(row)) changed.push(row);
            if (performance.now() - began > SLICE) {
                await pause();
                if (mine !== filtering) return;
                began = performance.now();
            }
        }
        for (const row of changed) row.hidden = !row.hidden;
        counted();
    }

    function show(text) {
        if (filter.value !== text) {
            filter.value = text;
            applyFilter();
        }
    }

    // --- Counts, in the title too.

    function counted() {
        const all = rows.childElementCount, hidden = words.length ? rows.querySelectorAll(":scope > [hidden]").length : 0;
        const attention = document.querySelectorAll(".row.attention, .card.attention").length;
        const noun = (size) => `${number.format(size)} ${size === 1 ? one : many}`;
        count.textContent = words.length ? `${number.format(all - hidden)} of ${noun(all)}` : "";
        part("nothing").hidden = !words.length || hidden < all;
        rows.hidden = !part("nothing").hidden;
        const title = attention ? `(${attention}) ${baseTitle()}` : baseTitle();
        if (document.title !== title) document.title = title;
        const summary = part("summary"), state = document.createElement(attention ? "a" : "span");
        if (attention) state.href = "?q=needs+attention";
        state.className = attention ? "alarm" : "calm";
        state.textContent = attention ? `${number.format(attention)} ${attention === 1 ? "needs" : "need"} attention` : "nothing needs attention";
        if (summary.textContent !== `${noun(all)} · ${state.textContent}`) summary.replaceChildren(`${noun(all)} · `, state);
    }

    function baseTitle() {
        return pageTitle.replace(/^\(\d+\) /, "");
    }

    // --- Rows: each is one line of an answer, with a digest; only those that changed are touched.

    const ROW = /^<li class="[^"]*" id="([^"]*)" tabindex="-1" data-digest="([^"]*)"/;

    function parse(html) {
        const template = document.createElement("template");
        template.innerHTML = html;
        return template.content;
    }

    // The row of a line: the one that is there, unless it changed.
    function rowOf(line) {
        const head = ROW.exec(line);
        if (!head) return null;
        const known = part(head[1]);
        if (known && known.dataset.digest === head[2]) return known;
        const fresh = parse(line).firstElementChild;
        fresh.hidden = !matches(fresh);
        if (known) {
            forget(known);
            known.replaceWith(fresh);
            if (known.querySelector(".why")) explain(fresh);
        }
        sight.observe(fresh);
        return fresh;
    }

    // Puts a row before this one, unless it is there, or close behind: what stands between has gone or moves.
    function place(row, cursor) {
        let at = cursor;
        for (let step = 0; at && at !== row && step < 8; step++) at = at.nextElementSibling;
        if (!at || at !== row) rows.insertBefore(row, cursor);
    }

    function forget(row) {
        sight.unobserve(row);
        inSight.delete(row);
    }

    // Whoever is at a row by keyboard stays there.
    async function keepingFocus(work) {
        const id = document.activeElement?.closest?.(".row")?.id;
        await work();
        if (id && document.activeElement === document.body) part(id)?.focus({ preventScroll: true });
    }

    // What the rows are, as the server calls it; rows that were read alone since all were last asked for.
    let tag = document.body.dataset.tag;
    const alone = new Set();

    // Reads all rows, line by line; false if there is nothing new.
    async function readRows() {
        const answer = await fetch(rowsPath, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (answer.status === 304) return false;
        if (!answer.ok) throw new Error(`${rowsPath}: ${answer.status}`);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        const seen = new Set();
        let rest = "", last = "", whole = false, began = performance.now();
        alone.clear();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            const lines = (rest + value).split("\n");
            rest = lines.pop();
            for (const line of lines) {
                whole ||= line.startsWith("<!--end ");
                const row = rowOf(line);
                if (!row) continue;
                seen.add(row.id);
                place(row, part(last)?.nextElementSibling ?? (last ? null : rows.firstElementChild));
                last = row.id;
                if (performance.now() - began > SLICE) {
                    await pause();
                    began = performance.now();
                }
            }
        }
        if (!whole) throw new Error(`${rowsPath}: it ended too early`);
        for (const row of Array.from(rows.children)) {
            if (!seen.has(row.id) && !alone.has(row.id)) {
                forget(row);
                row.remove();
            }
        }
        tag = answer.headers.get("etag") ?? "";
        return true;
    }

    // Reads one row, where reading all would take long.
    async function readRow(id) {
        const answer = await fetch(rowPath + encodeURIComponent(id), { cache: "no-store" });
        if (!answer.ok) return;
        const line = (await answer.text()).trim();
        if (!line) {
            const known = rows.querySelector(`:scope > [id^="${CSS.escape("c-" + id)}"]`);
            if (known) {
                forget(known);
                known.remove();
            }
            return;
        }
        const row = rowOf(line);
        if (!row) return;
        alone.add(row.id);
        if (row.isConnected) return;
        // Rows that need attention come first, then the names decide.
        const name = (other) => other.querySelector("h3").firstChild.textContent;
        const rank = (other) => (other.classList.contains("attention") ? 0 : 1);
        const mine = [rank(row), name(row)];
        const after = Array.from(rows.children).find((other) => {
            const theirs = [rank(other), name(other)];
            return theirs[0] > mine[0] || (theirs[0] === mine[0] && theirs[1] > mine[1]);
        });
        rows.insertBefore(row, after ?? null);
    }

    async function readParts(paths) {
        for (const path of paths) {
            const answer = await fetch(path, { cache: "no-store" });
            if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
            for (const fresh of Array.from(parse(await answer.text()).children)) {
                part(fresh.id)?.replaceWith(fresh);
            }
        }
        tickAll();
    }

    // --- What explains a row.

    async function explain(row) {
        const link = row?.querySelector("a.explain");
        if (!explainPath || !link) return;
        const shown = row.querySelector(".why");
        link.setAttribute("aria-expanded", String(!shown));
        if (shown) return shown.remove();
        try {
            const answer = await fetch(explainPath + link.getAttribute("href").split("/").pop(), { cache: "no-store" });
            if (answer.ok && !row.querySelector(".why")) row.append(parse(await answer.text()));
        } catch {
            // Whoever watches the connection says that the server is gone.
        }
    }

    // --- Asking again: soon after a change, ever more rarely when much changes.

    const QUICK = 120, SLOWEST = 10000;
    const partPaths = parts.split(" ").filter(Boolean);
    let timer, busy = false, pace = QUICK, ended = 0;

    function soon() {
        if (timer || busy) return void (busy = busy && "again");
        timer = setTimeout(refresh, performance.now() - ended < 2 * pace ? pace : QUICK);
    }

    async function refresh() {
        timer = undefined;
        busy = "once";
        const began = performance.now();
        try {
            await keepingFocus(async () => {
                await readParts(partPaths);
                await readRows();
            });
            counted();
        } catch {
            // The server is gone or busy: whoever watches the connection says so, and asks again.
            setTimeout(soon, 2000);
        }
        const again = busy === "again";
        const took = performance.now() - began;
        const slowest = Math.min(SLOWEST, Math.max(500, 20 * took));
        pace = began - ended < 4 * pace ? Math.min(slowest, Math.max(1.5 * pace, 4 * took)) : Math.max(QUICK, 4 * took);
        ended = performance.now();
        busy = false;
        if (again) soon();
    }

    // With many rows, those that events name are read alone, before all are: a few, one after the other.
    const MANY = 500, FEW = 20;
    const named = new Set();
    let reading = false;

    async function readNamed(id) {
        if (!rowPath || !id || rows.childElementCount < MANY || named.size > FEW) return;
        named.add(id);
        if (reading) return;
        reading = true;
        await pause();
        for (const next of named) {
            named.delete(next);
            try {
                await keepingFocus(() => readRow(next));
            } catch {
                named.clear();
            }
        }
        reading = false;
        counted();
    }

    // --- The connection.

    function connection(state, word) {
        const shown = document.createElement("span");
        shown.className = `state ${state}`;
        shown.textContent = word;
        if (live.textContent !== word) live.replaceChildren(shown);
    }

    const SHOWN_EVENTS = 100;

    function happened({ data }) {
        const { number: own, at, level, text, registry, container } = JSON.parse(data);
        const log = part("log"), item = document.createElement("li"), time = document.createElement("time");
        if (own <= Number(log.dataset.number)) return;
        log.dataset.number = own;
        time.dataset.at = Math.floor(at / 1000);
        time.dateTime = new Date(at).toISOString();
        time.textContent = new Date(at).toLocaleString();
        const line = document.createElement("span");
        line.className = "text";
        // As on the server: nothing turns the direction of its neighbours.
        const shown = text.replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, "\ufffd");
        if (registry && !text.includes(registry)) {
            const where = document.createElement("span");
            where.className = "idle";
            where.textContent = registry.split(":")[0];
            line.append(where, " ");
        }
        line.append(shown);
        item.append(time);
        if (level === "warn" || level === "error") {
            const state = document.createElement("span");
            state.className = `state ${level === "warn" ? "warn" : "bad"}`;
            state.textContent = level === "warn" ? "warning" : "error";
            item.append(state);
        }
        item.append(line);
        tick(item);
        log.prepend(item);
        while (log.childElementCount > SHOWN_EVENTS) log.lastElementChild.remove();
        readNamed(container);
        soon();
    }

    let source, retry, attempts = 0, listening = 0;

    // Listens to events. A connection that broke begins with what is there now: the program may be another one.
    async function listen(again) {
        const mine = ++listening;
        clearTimeout(retry);
        source?.close();
        try {
            if (again) await readParts([...partPaths, "/page/events"]);
        } catch {
            return mine === listening ? lost() : undefined;
        }
        if (mine !== listening) return;
        source = new EventSource(`${events}?after=${part("log").dataset.number}`);
        source.onopen = () => {
            attempts = 0;
            connection("good", "live");
            soon();
        };
        source.onmessage = happened;
        source.addEventListener("version", () => soon());
        source.onerror = lost;
    }

    function lost() {
        source?.close();
        source = undefined;
        connection("bad", "reconnecting …");
        clearTimeout(retry);
        retry = setTimeout(() => listen(true), Math.min(5000, 500 * 1.5 ** attempts++) * (0.75 + Math.random() / 2));
    }

    // Without events: asks every other second whether anything changed, while somebody looks.
    async function poll() {
        const began = performance.now();
        if (!document.hidden) {
            try {
                await keepingFocus(async () => {
                    if (await readRows()) {
                        await readParts(partPaths);
                        counted();
                    }
                });
                connection("good", "live");
            } catch {
                connection("bad", "reconnecting …");
            }
        }
        setTimeout(poll, Math.min(30000, Math.max(2000, 10 * (performance.now() - began))));
    }

    // A page that nobody sees holds no connection: a browser has few for each server.
    let hiddenTimer;
    function visibility() {
        clearTimeout(hiddenTimer);
        if (document.hidden) {
            hiddenTimer = setTimeout(() => {
                listening++;
                clearTimeout(retry);
                source?.close();
                source = undefined;
                connection("idle", "paused");
            }, 30000);
        } else if (!source) {
            listen(true);
        }
    }

    // --- The keyboard.

    function step(down) {
        const now = document.activeElement?.closest?.(".row");
        let row = now ? (down ? now.nextElementSibling : now.previousElementSibling) : rows.firstElementChild;
        while (row?.hidden) row = down || !now ? row.nextElementSibling : row.previousElementSibling;
        if (!row) return;
        row.focus({ preventScroll: true });
        row.scrollIntoView({ block: "nearest" });
    }

    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
        const typing = event.target === filter;
        if (event.key === "Escape") {
            show("");
            if (typing) filter.blur();
        } else if (typing) {
            if (event.key === "Enter" || event.key === "ArrowDown") step(true);
            else return;
        } else if (event.key === "/") {
            filter.focus();
            filter.select();
        } else if (event.key === "Enter" && event.target.matches?.(".row")) {
            explain(event.target);
        } else if (event.key === "j" || event.key === "k") {
            step(event.key === "j");
        } else {
            return;
        }
        event.preventDefault();
    });

    // --- The beginning.

    filter.addEventListener("input", applyFilter);
    part("search").addEventListener("submit", (event) => event.preventDefault());
    part("clear").addEventListener("click", () => show(""));
    part("summary").addEventListener("click", (event) => {
        if (!event.target.closest("a") || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        show("needs attention");
    });
    rows.addEventListener("click", (event) => {
        if (!explainPath || event.ctrlKey || event.metaKey || !event.target.closest("a.explain")) return;
        event.preventDefault();
        explain(event.target.closest(".row"));
    });
    part("search").hidden = false;
    part("keys").hidden = false;
    filter.value = new URLSearchParams(location.search).get("q") ?? "";
    words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) applyFilter();
    for (const row of rows.children) sight.observe(row);
    counted();
    tickAll();
    setInterval(tickAll, 1000);
    // Paper does not tick.
    addEventListener("beforeprint", () => {
        for (const time of document.querySelectorAll("time[title]")) time.textContent = time.title;
    });
    addEventListener("afterprint", tickAll);
    connection("wait", "connecting …");
    if (events) {
        document.addEventListener("visibilitychange", visibility);
        listen(false);
    } else {
        poll();
    }
})();
