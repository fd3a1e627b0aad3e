// Keeps the page up to date while things happen, and sends its forms without
// leaving it. Without this script the page works by being loaded again.
"use strict";
(() => {
	const toasts = document.getElementById("toasts");
	const dialog = document.getElementById("step");
	if (!toasts) return; // the page of one request

	// An element's HTML as the server sent it, to know what has changed.
	const sent = new WeakMap();
	const remember = (list) => {
		for (const child of list.children) {
			if (child.matches("[data-list]")) continue;
			sent.set(child, child.outerHTML);
		}
	};
	for (const list of document.querySelectorAll("[data-list]")) remember(list);

	// What somebody is just filling in or answering is left alone.
	const busy = (part) => part.contains(document.activeElement) && document.activeElement.matches("textarea, select, input:not([type=hidden])") ||
		part.querySelector("dialog[open]") !== null;

	let held = false; // something was left alone
	function take(list, fresh) {
		const mine = new Map([...list.children].map((child) => [child.dataset.key, child]));
		let at = list.firstElementChild;
		for (const child of [...fresh.children]) {
			const html = child.outerHTML;
			let now = mine.get(child.dataset.key);
			mine.delete(child.dataset.key);
			if (!now) {
				now = child;
				sent.set(now, html);
				list.insertBefore(now, at);
				continue;
			}
			if (sent.get(now) !== html) {
				if (busy(now)) {
					held = true;
				} else {
					const open = [...now.querySelectorAll("details")].map((d) => d.open);
					[...child.querySelectorAll("details")].forEach((d, i) => { if (open[i]) d.open = true; });
					now.replaceWith(child);
					sent.set(child, html);
					if (at === now) at = child;
					now = child;
				}
			}
			if (now === at) at = at.nextElementSibling; else list.insertBefore(now, at);
		}
		for (const gone of mine.values()) gone.remove();
	}

	let asking = false, again = false;
	async function refresh() {
		if (asking) { again = true; return; }
		asking = true;
		try {
			const answer = await fetch("/", {headers: {Accept: "text/html"}, cache: "no-store"});
			const page = new DOMParser().parseFromString(await answer.text(), "text/html");
			const focus = document.activeElement;
			const where = focus && focus !== document.body ? [focus.id, focus.closest("[data-key]:not([data-list])")?.dataset.key] : null;
			held = false;
			for (const list of document.querySelectorAll("[data-list]")) {
				const fresh = page.querySelector(`[data-list][data-key="${CSS.escape(list.dataset.key)}"]`);
				if (fresh) take(list, fresh);
			}
			for (const phone of document.querySelectorAll(".phone")) phone.className = page.getElementById(phone.id)?.className ?? phone.className;
			const title = document.getElementById("title");
			if (title && title.value === title.defaultValue) title.value = title.defaultValue = page.getElementById("title").defaultValue;
			if (where && document.activeElement === document.body) {
				const next = where[0] && document.getElementById(where[0]) || where[1] && document.querySelector(`[data-key="${CSS.escape(where[1])}"]`);
				next?.focus({preventScroll: true});
			}
		} catch {
			// The stream of events says so when nobody answers any more.
		}
		asking = false;
		if (again) { again = false; refresh(); }
	}
	document.addEventListener("focusout", () => { if (held) setTimeout(refresh, 50); });
	document.addEventListener("close", () => { if (held) setTimeout(refresh, 50); }, true);

	function toast(said, stays) {
		if (!said.text) return;
		const note = document.createElement("p");
		note.className = "toast";
		note.dataset.tone = said.tone || "go";
		note.textContent = said.who ? `${said.who}: ${said.text}` : said.text;
		while (toasts.children.length > 2) toasts.firstChild.remove();
		toasts.append(note);
		if (!stays) setTimeout(() => note.remove(), 7000);
	}

	document.addEventListener("submit", async (event) => {
		const form = event.target, button = event.submitter;
		if (form.method !== "post") return;
		event.preventDefault();
		const body = new URLSearchParams(new FormData(form, button));
		button?.closest("dialog")?.close();
		if (form.contains(document.activeElement) && document.activeElement.matches("textarea, input, select")) document.activeElement.blur();
		form.setAttribute("aria-busy", "true");
		try {
			const answer = await fetch(form.getAttribute("action"), {method: "POST", body, headers: {Accept: "application/json"}});
			toast(answer.ok ? await answer.json() : {text: await answer.text(), tone: "stop"});
			if (form.hasAttribute("data-keep")) form.reset();
		} catch {
			toast({text: toasts.dataset.ended, tone: "stop"});
		}
		form.removeAttribute("aria-busy");
		refresh();
	});

	// A request and its answer open on top of the page.
	document.addEventListener("click", async (event) => {
		const link = event.target.closest("a[data-step]");
		if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
		event.preventDefault();
		const answer = await fetch(link.href);
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		document.getElementById("step-in").replaceChildren(page.querySelector(".exchange"));
		dialog.showModal();
	});

	const events = new EventSource("/events");
	let lost = false;
	events.onmessage = () => { lost = false; refresh(); };
	events.onerror = () => {
		if (!lost) toast({text: toasts.dataset.ended, tone: "stop"}, true);
		lost = true;
	};
	addEventListener("pagehide", () => events.close());
	addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
