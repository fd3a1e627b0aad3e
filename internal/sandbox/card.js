// A button that wants to be confirmed opens its question; what is answered there
// with yes is sent as if the button had been pressed.
document.addEventListener("click", (event) => {
	const asks = event.target.closest("[data-asks]");
	if (asks) {
		if (!asks.form.reportValidity()) return;
		event.preventDefault();
		asks.nextElementSibling.showModal();
		return;
	}
	const cancel = event.target.closest("[data-cancel]");
	if (cancel) cancel.closest("dialog").close();
});
