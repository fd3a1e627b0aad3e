package words

// TitleTrial heads a card that is only there to be clicked; clicked: it was.
func (w *Words) TitleTrial(clicked bool) string {
	if clicked {
		return w.pick("mrgate 测试通过", "mrgate: the test has passed")
	}
	return w.pick("mrgate 测试", "mrgate: a test")
}

// TrialAsks says what the card is for.
func (w *Words) TrialAsks() string {
	return w.pick("请点下面的按钮，看点击能否到达 mrgate。不会改动任何东西。", "Press the button, to see whether clicks reach mrgate. It changes nothing.")
}

// ButtonTrial is the button.
func (w *Words) ButtonTrial() string { return w.pick("测试", "Test") }

// ToastTrial answers the click.
func (w *Words) ToastTrial() string {
	return w.pick("点击已到达 mrgate", "The click has reached mrgate")
}
