// Entry of every page behind the login. Each module improves what already works without script.

import { startStream } from "./stream.js";
import { startTimes } from "./times.js";
import { startDialogs } from "./dialog.js";
import { startRefresh } from "./refresh.js";
import { startProgress } from "./progress.js";
import { startBoard } from "./board.js";
import { startFields } from "./fields.js";
import { startFeed } from "./feed.js";
import { startLog } from "./log.js";
import { startProfile } from "./profile.js";

startTimes();
startDialogs();
startBoard();
startLog();
startFields();
startProfile();
if (document.body.dataset.stream) {
  startProgress();
  startFeed();
  startRefresh();
  startStream();
}
