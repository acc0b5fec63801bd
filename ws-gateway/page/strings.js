// Every sentence of the page, in both languages, and how it writes times and distances.

/** @typedef {'ko' | 'en'} Language */
/** @typedef {keyof typeof ko} Key */

const ko = {
  title: 'Mayday · 우리 단지 비상 알림',
  skip: '호출 목록으로 건너뛰기',
  language: 'English',
  signOut: '나가기',

  connecting: '연결하는 중',
  'connecting.detail': '아직 호출을 받을 수 없습니다.',
  'catching-up': '놓친 호출을 확인하는 중',
  'catching-up.detail': '곧 끝납니다.',
  connected: '연결됨',
  'connected.detail': '· {ago} 확인',
  'degraded.silent': '응답이 늦어지고 있습니다',
  'degraded.gateway': '호출이 늦게 올 수 있습니다',
  'degraded.detail': '마지막 확인 {ago}. 급하면 이웃에게 직접 알리세요.',
  offline: '연결이 끊겼습니다',
  'offline.detail': '지금은 새 호출이 보이지 않습니다. {wait}',
  'offline.wait': '{seconds}초 뒤 다시 연결합니다.',
  'offline.now': '다시 연결하는 중입니다.',
  'stopped.token': '출입증을 다시 넣어 주세요',
  'stopped.forbidden': '이 단지의 호출을 볼 수 없습니다',
  'stopped.detail': '호출을 받지 않고 있습니다.',
  retry: '지금 다시 연결',

  'signIn.title': '출입증 넣기',
  'signIn.hint': '관리사무소에서 받은 출입증(토큰)을 붙여 넣으세요. 이 창을 닫으면 지워집니다.',
  'signIn.label': '출입증',
  'signIn.button': '들어가기',
  'signIn.unreadable': '출입증을 읽을 수 없습니다. 처음부터 끝까지 복사했는지 확인해 주세요.',
  'signIn.refused': '이 출입증은 기한이 지났거나 맞지 않습니다. 새 출입증을 넣어 주세요.',

  'sound.title': '소리가 꺼져 있습니다',
  'sound.hint': '한 번 눌러 두면 새 호출이 올 때 경보가 울립니다.',
  'sound.button': '소리 켜기',
  'ringing.title': '경보가 울리고 있습니다',
  'ringing.button': '소리 멈추기',

  'alerts.title': '도움이 필요한 집',
  'quiet.title': '지금은 조용합니다',
  'quiet.hint': '이웃이 도움을 요청하면 여기에 바로 나타납니다.',
  'unknown.title': '지금은 알 수 없습니다',
  'unknown.hint': '연결되면 놓친 호출부터 보여 드립니다.',
  'count.none': '도움을 기다리는 호출이 없습니다.',
  'count.some': '도움을 기다리는 호출 {count}건.',

  'card.actual': '비상 호출',
  'card.drill': '훈련',
  'card.drillNote': '실제 상황이 아닙니다',
  'card.noText': '말 없이 도움을 요청했습니다.',
  'card.own': '우리 집이 보낸 호출입니다.',
  'card.map': '지도 보기',
  'card.mapWithin': '지도 (오차 {metres}m)',
  'card.sketch': '{building}동 {floor}층 {unit}호 자리. 집 이름으로 짐작한 약도입니다.',
  'card.waiting': '아직 가는 이웃이 없습니다',
  'card.going': '가는 이웃 {count}집',
  'card.rank': '{rank}번째',
  'card.primary': '먼저 감',
  'card.us': '우리 집',
  'accept.button': '도우러 갈게요',
  'accept.drillButton': '훈련: 도우러 갈게요',
  'accept.hint': '누르면 부른 집과 모든 이웃이 우리 집이 가고 있음을 봅니다.',
  'accept.sending': '알리는 중…',
  'accept.retrying': '답이 없어 다시 알리는 중…',
  'accept.done': '우리 집이 가고 있습니다',
  'accept.doneRank': '우리 집이 {rank}번째로 가고 있습니다',
  'accept.failed': '알리지 못했습니다: {reason}',

  'said.actual': '비상 호출. {house}. {text} {time}.',
  'said.drill': '훈련입니다. 실제 상황이 아닙니다. {house}. {text}',
  'said.accept': '{accept} 이웃이 {target} 호출에 가고 있습니다.',

  'api.gone': '지금은 이 화면에서 도움을 요청할 수 없습니다. 119에 전화하거나 이웃에게 직접 알리세요.',
  'api.late': '지금 보내는 도움 요청은 늦게 전달될 수 있습니다. 급하면 119나 이웃에게 직접 알리세요.',

  'raise.button': '도움 요청',
  'raise.title': '이웃에게 도움을 요청합니다',
  'raise.who': '{line}의 모든 이웃에게 {house} 호출이 바로 보입니다.',
  'raise.text': '무슨 일인가요? 비워 두고 보내도 됩니다.',
  'raise.fire': '불이 났어요',
  'raise.medical': '사람이 쓰러졌어요',
  'raise.crime': '낯선 사람이 있어요',
  'raise.lift': '승강기에 갇혔어요',
  'raise.locate': '내 위치도 보내기',
  'raise.locating': '위치를 찾는 중. 기다리지 않고 보내도 됩니다.',
  'raise.located': '위치를 찾았습니다 (오차 약 {metres}m).',
  'raise.unlocated': '위치를 찾지 못했습니다. 위치 없이 보냅니다.',
  'raise.drill': '훈련입니다 (실제 상황 아님)',
  'raise.send': '지금 보내기',
  'raise.sendDrill': '훈련 호출 보내기',
  'raise.cancel': '취소',
  'raise.close': '닫기',
  'raise.sending': '보내는 중…',
  'raise.retrying': '아직 답이 없습니다. 계속 다시 보내고 있습니다. 이웃에게 직접도 알리세요.',
  'raise.stored': '보냈습니다. 이웃들의 화면에 나타납니다.',
  'raise.queued': '받아 두었습니다. 연결되는 대로 이웃에게 전달됩니다. 직접도 알리세요.',
  'raise.failed': '보내지 못했습니다: {reason}',

  'not119': '119에 자동으로 신고되지 않습니다.',
  'call119': '119에 전화',
};

/** @type {Record<Key, string>} */
const en = {
  title: 'Mayday · Emergency alerts for our complex',
  skip: 'Skip to the alerts',
  language: '한국어',
  signOut: 'Sign out',

  connecting: 'Connecting',
  'connecting.detail': 'No alerts can be received yet.',
  'catching-up': 'Checking what you missed',
  'catching-up.detail': 'This takes a moment.',
  connected: 'Connected',
  'connected.detail': '· checked {ago}',
  'degraded.silent': 'The connection is slow to answer',
  'degraded.gateway': 'Alerts may arrive late',
  'degraded.detail': 'Last checked {ago}. If it is urgent, tell your neighbours directly.',
  offline: 'Connection lost',
  'offline.detail': 'New alerts are not shown right now. {wait}',
  'offline.wait': 'Trying again in {seconds} s.',
  'offline.now': 'Trying again now.',
  'stopped.token': 'Please enter your pass again',
  'stopped.forbidden': 'You cannot see the alerts of this complex',
  'stopped.detail': 'No alerts are being received.',
  retry: 'Reconnect now',

  'signIn.title': 'Enter your pass',
  'signIn.hint': 'Paste the pass (token) that your management office gave you. It is forgotten when this tab closes.',
  'signIn.label': 'Pass',
  'signIn.button': 'Enter',
  'signIn.unreadable': 'This pass cannot be read. Please check that it was copied from beginning to end.',
  'signIn.refused': 'This pass has expired or does not fit. Please enter a new one.',

  'sound.title': 'Sound is off',
  'sound.hint': 'Tap once, and new alerts will ring.',
  'sound.button': 'Turn on sound',
  'ringing.title': 'The alarm is ringing',
  'ringing.button': 'Stop the sound',

  'alerts.title': 'Homes that need help',
  'quiet.title': 'All is quiet',
  'quiet.hint': 'When a neighbour calls for help, it appears here at once.',
  'unknown.title': 'Nothing is known right now',
  'unknown.hint': 'Once connected, what you missed is shown first.',
  'count.none': 'No alert is waiting for help.',
  'count.some': 'Alerts waiting for help: {count}.',

  'card.actual': 'Emergency',
  'card.drill': 'Drill',
  'card.drillNote': 'This is not a real emergency',
  'card.noText': 'Asked for help without words.',
  'card.own': 'This is your own call.',
  'card.map': 'Show on a map',
  'card.mapWithin': 'Map (within {metres} m)',
  'card.sketch': 'Building {building}, floor {floor}, unit {unit}. A sketch, guessed from the name of the home.',
  'card.waiting': 'Nobody is on the way yet',
  'card.going': 'Neighbours on the way: {count}',
  'card.rank': 'no. {rank}',
  'card.primary': 'first',
  'card.us': 'your home',
  'accept.button': 'I am going to help',
  'accept.drillButton': 'Drill: I am going to help',
  'accept.hint': 'Tap it, and the caller and all neighbours see that your home is on the way.',
  'accept.sending': 'Telling everybody…',
  'accept.retrying': 'No answer yet, trying again…',
  'accept.done': 'Your home is on the way',
  'accept.doneRank': 'Your home is on the way, no. {rank}',
  'accept.failed': 'Could not tell the others: {reason}',

  'said.actual': 'Emergency. {house}. {text} {time}.',
  'said.drill': 'This is a drill, not a real emergency. {house}. {text}',
  'said.accept': '{accept} is going to {target}.',

  'api.gone': 'You cannot call for help from this page right now. Phone 119 or tell your neighbours directly.',
  'api.late': 'A call for help sent now may arrive late. If it is urgent, phone 119 or tell your neighbours directly.',

  'raise.button': 'Call for help',
  'raise.title': 'Call your neighbours for help',
  'raise.who': 'Everybody in {line} sees the call of {house} at once.',
  'raise.text': 'What happened? You can leave this empty.',
  'raise.fire': 'There is a fire',
  'raise.medical': 'Somebody collapsed',
  'raise.crime': 'There is an intruder',
  'raise.lift': 'Stuck in the lift',
  'raise.locate': 'Send my location too',
  'raise.locating': 'Looking for your location. You need not wait for it.',
  'raise.located': 'Location found (within about {metres} m).',
  'raise.unlocated': 'Location not found. The call goes without it.',
  'raise.drill': 'This is a drill (not a real emergency)',
  'raise.send': 'Send now',
  'raise.sendDrill': 'Send the drill',
  'raise.cancel': 'Cancel',
  'raise.close': 'Close',
  'raise.sending': 'Sending…',
  'raise.retrying': 'No answer yet. Sending it again and again. Tell your neighbours directly, too.',
  'raise.stored': 'Sent. It appears on the screens of your neighbours.',
  'raise.queued': 'Taken, and delivered as soon as the connection is back. Tell your neighbours directly, too.',
  'raise.failed': 'Could not be sent: {reason}',

  'not119': 'This does not call the emergency services (119).',
  'call119': 'Phone 119',
};

const languages = { ko, en };

/** @type {Language} */ let current = 'ko';

/** @returns {Language} */
export function language() {
  return current;
}

/** @param {Language} wanted */
export function speak(wanted) {
  current = wanted;
}

/** The language of the person's browser, Korean where it is neither. @param {readonly string[]} wanted @returns {Language} */
export function preferred(wanted) {
  const known = wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in languages);
  return /** @type {Language} */ (known ?? 'ko');
}

/** @param {Key} key @param {Record<string, string | number>} [values] */
export function t(key, values = {}) {
  return languages[current][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/** Which language a neighbour wrote in, so that a screen reader pronounces it. @param {string} text @returns {Language} */
export function languageOf(text) {
  return /[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]/.test(text) ? 'ko' : 'en';
}

/** "3 minutes ago", in the largest unit that is at least one. @param {number} thenMs @param {number} nowMs */
export function ago(thenMs, nowMs) {
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1000));
  const relative = new Intl.RelativeTimeFormat(current, { numeric: 'auto' });
  if (seconds < 60) return relative.format(-(seconds - (seconds % 5)), 'second'); // in steps of five: a ticking figure is not calm
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), 'minute');
  return relative.format(-Math.floor(seconds / 3600), 'hour');
}

/** The time of day, with the date when it was not today. @param {number} thenMs @param {number} nowMs */
export function clock(thenMs, nowMs) {
  const then = new Date(thenMs);
  const today = then.toDateString() === new Date(nowMs).toDateString();
  /** @type {Intl.DateTimeFormatOptions} */ const day = today ? {} : { month: 'short', day: 'numeric' };
  return new Intl.DateTimeFormat(current, { ...day, hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(then);
}
