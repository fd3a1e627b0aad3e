package words

// Status is what the status on a commit says of the merge request: pending,
// success, failed, or, of anything else, that it is over. Who sees the commit can
// read it, so it names nobody.
func (w *Words) Status(ref, state string) string {
	switch state {
	case "pending":
		return w.pick(ref+" 等待审批", ref+" waits for approval")
	case "success":
		return w.pick(ref+" 已批准", ref+" was approved")
	case "failed":
		return w.pick(ref+" 已驳回", ref+" was rejected")
	}
	return w.pick(ref+" 在此提交上的审批已失效", ref+" is not up for approval at this commit any more")
}
