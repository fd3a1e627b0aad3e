// Package page is how mrgate looks in a browser: the parts that all of its pages
// are made of, one stylesheet, one small script, and the listener's own page.
//
// A page is a file of html/template that defines "main", and may define others.
// [Load] reads a directory of them, each on top of the parts in base/:
//
//	pages, err := page.Load(files, nil)       // main.html, other.html, …
//	pages.Write(w, r, "main.html", page.Frame{Title: "Waiting", Name: "mrgate"}, data)
//
// In the template "." is data; {{template "badge" .State}} draws a state. What
// people wrote goes through {{line .Title}}, or {{template "said" .Title}}, which
// also keeps its direction of writing from what stands beside it.
//
// A handler is mounted behind [Headers], which forbids scripts and styles that are
// not files of the same address, everything from elsewhere, and frames; beside it
// stand the files of [Assets]. So there is no style attribute, no handler in an
// attribute and no inline script anywhere: what changes by script, changes classes,
// data attributes and text.
//
// What the stylesheet draws (asset/style.css, in this order):
//
//	header.top, nav, form.search, main, footer.foot    drawn by the frame
//	.panes > section.pane > .pane-head + .pane-body    side by side, or below each other
//	.badge[data-tone]    a state: word and colour; tone is wait, go, stop, done or gone
//	table.list           rows that become cards on a phone, where td[data-label] names the cell;
//	                     .rows: of merge request, .state-cell, text, text and .number
//	dl.facts             names and values
//	ol.story             what happened, step by step: li[data-tone] > .when + .what, .minor
//	code, pre.code       commits, bodies; a pre takes tabindex="0", as it may scroll
//	.field > label + input, select or textarea; .check > input + label
//	.button[data-kind]   a button or link: primary, danger, quiet, or as it is
//	dialog, .toasts > .toast[data-tone]
//	.note[data-tone]     a sentence that stands out
//	ul.plain, .quiet, .below, .alarm, .number, .hidden (for screen readers only)
//
// Where [Frame.Live] is set and a browser runs scripts, it asks for the page again
// while it can be seen, and takes over each element with data-part whose content is
// another than before.
package page
