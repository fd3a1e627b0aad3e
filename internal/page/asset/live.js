// Keeps a page up to date while it can be seen: it is asked for again every few
// seconds, and each part whose content is another than before is taken over. A page
// in the background asks nothing.
"use strict";
(() => {
	const every = Number(document.body.dataset.live) * 1000;
	const panel = document.getElementById("live");
	if (!every || !panel) return;
	const button = panel.querySelector("button");
	const said = panel.querySelector("[role=status]");
	const shown = new Map(); // the part's content as the server sent it
	const parts = (of) => of.querySelectorAll("[data-part]");
	for (const part of parts(document)) shown.set(part.dataset.part, part.innerHTML);
	let timer = 0, etag = "", failures = 0, paused = false, asking = false;

	const say = (text) => { if (said.textContent !== text) said.textContent = text; };
	const next = () => {
		clearTimeout(timer);
		if (!paused && !document.hidden) timer = setTimeout(look, Math.min(every * 2 ** failures, 30000));
	};

	async function look() {
		if (asking) return;
		asking = true;
		try {
			const answer = await fetch(location.href, {
				headers: etag ? {"If-None-Match": etag} : {}, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000),
			});
			if (answer.status !== 304) {
				if (!answer.ok) throw new Error(answer.status);
				const whole = take(new DOMParser().parseFromString(await answer.text(), "text/html"));
				etag = whole && answer.headers.get("ETag") || "";
			}
			failures = 0;
			say("");
		} catch {
			failures++;
			if (failures > 1) say(panel.dataset.lost);
		}
		asking = false;
		next();
	}

	// take gives false where a part could not be touched, as somebody marks or writes in it.
	function take(page) {
		let whole = true;
		const selection = getSelection();
		const focus = document.activeElement;
		const sent = new Map([...parts(page)].map((part) => [part.dataset.part, part]));
		for (const part of parts(document)) {
			const name = part.dataset.part, fresh = sent.get(name);
			if (!fresh || fresh.innerHTML === shown.get(name)) continue;
			const holds = part.contains(focus);
			if (holds && focus.matches("input, select, textarea") || !selection.isCollapsed && selection.containsNode(part, true)) {
				whole = false;
				continue;
			}
			const open = [...part.querySelectorAll("details[id][open]")].map((d) => d.id);
			const where = holds && (focus.id ? "#" + CSS.escape(focus.id) : focus.matches("a[href]") ? `a[href="${CSS.escape(focus.getAttribute("href"))}"]` : "summary");
			shown.set(name, fresh.innerHTML);
			part.replaceChildren(...fresh.childNodes);
			for (const id of open) part.querySelector("#" + CSS.escape(id))?.setAttribute("open", "");
			if (where) part.querySelector(where)?.focus({preventScroll: true});
		}
		document.title = page.title;
		return whole;
	}

	button.addEventListener("click", () => {
		paused = !paused;
		button.textContent = paused ? panel.dataset.resume : panel.dataset.pause;
		failures = 0;
		if (paused) clearTimeout(timer); else look();
	});
	document.addEventListener("visibilitychange", () => {
		clearTimeout(timer);
		failures = 0;
		if (!document.hidden && !paused) look();
	});
	panel.hidden = false;
	next();
})();
