// The three players behind one face:
// `start(video, url, report)`, `live()`, `latency()`, `rungs()`, `choose(id)`, `audio()`, `wall(video)`,
// `reach(video)`: from when to when one may seek, in media time.
// `wall` is the wall time that goes with what is shown, in milliseconds since 1970, as the manifest has it: for DASH
// `availabilityStartTime` and media time, since players move the start that they reckon with.
// `report(fatal, sentence)` is told of every error. Buffers are kept short, so that a switch shows soon and without
// throwing away what is buffered: a replaced buffer would hide a rung that does not join the one before it.

/** Seconds of media that a player may hold ahead, and behind. */
const AHEAD = 6;
const BEHIND = 10;

/** As the video element has it, which hls.js does not tell where a live window begins. */
const seekable = ({ seekable: ranges }) => (ranges.length > 0 ? [ranges.start(0), ranges.end(ranges.length - 1)] : null);

async function availabilityStart(url) {
  const text = await (await fetch(url)).text();
  return Date.parse(text.match(/availabilityStartTime="([^"]+)"/)?.[1]);
}

function dashjs() {
  let player = null;
  let start = null;
  return {
    async start(video, url, report) {
      start = await availabilityStart(url);
      player = globalThis.dashjs.MediaPlayer().create();
      player.updateSettings({
        debug: { logLevel: 0 },
        streaming: {
          buffer: { bufferTimeDefault: AHEAD, bufferTimeAtTopQuality: AHEAD, bufferTimeAtTopQualityLongForm: AHEAD, bufferToKeep: BEHIND, fastSwitchEnabled: false },
          lastBitrateCachingInfo: { enabled: false },
          lastMediaSettingsCachingInfo: { enabled: false },
          // The library's own fallback is a host on the Internet.
          utcSynchronization: {
            defaultTimingSource: { scheme: 'urn:mpeg:dash:utc:http-iso:2014', value: new URL('/time', url).href },
          },
        },
      });
      player.on(globalThis.dashjs.MediaPlayer.events.ERROR, ({ error }) => report(true, `dash.js error ${error?.code}: ${error?.message}`));
      player.initialize(video, url, true);
    },
    live: () => player.isDynamic(),
    wall: (video) => start + video.currentTime * 1000,
    latency: () => (player.isDynamic() ? player.getCurrentLiveLatency() : null),
    rungs: () => player.getRepresentationsByType('video').map(({ id, width, height, bandwidth }) => ({ id, width, height, bandwidth })),
    choose(id) {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
      player.setRepresentationForTypeById('video', id, false);
    },
    audio: () => player.getTracksFor('audio').length > 0,
    reach: seekable,
  };
}

function shaka() {
  let player = null;
  let start = null;
  const sameAudio = () => {
    const variants = player.getVariantTracks();
    const active = variants.find((variant) => variant.active) ?? variants[0];
    return variants.filter((variant) => variant.audioId === active?.audioId && variant.height);
  };
  return {
    async start(video, url, report) {
      start = await availabilityStart(url);
      const library = globalThis.shaka;
      library.polyfill.installAll();
      if (!library.Player.isBrowserSupported()) throw new Error('Shaka Player does not support this browser');
      player = new library.Player();
      await player.attach(video);
      player.configure({ streaming: { bufferingGoal: AHEAD, bufferBehind: BEHIND, rebufferingGoal: 0.5 } });
      const told = (error) => report(error.severity === library.util.Error.Severity.CRITICAL,
        `Shaka error ${error.category}.${error.code}: ${JSON.stringify(error.data)}`);
      player.addEventListener('error', (event) => told(event.detail));
      await player.load(url).then(() => video.play(), (error) => {
        if (error instanceof library.util.Error) told(error);
        else throw error;
      });
    },
    live: () => player.isLive(),
    wall: (video) => start + video.currentTime * 1000,
    latency: () => (player.isLive() ? player.getStats().liveLatency : null),
    rungs: () => sameAudio().map(({ id, width, height, bandwidth }) => ({ id: String(id), width, height, bandwidth })),
    choose(id) {
      player.configure({ abr: { enabled: false } });
      player.selectVariantTrack(sameAudio().find((variant) => String(variant.id) === id), false);
    },
    audio: () => player.getVariantTracks().some((variant) => variant.audioCodec),
    reach: seekable,
  };
}

function hlsjs() {
  let player = null;
  const details = () => player.levels.find((level) => level.details)?.details;
  return {
    start(video, url, report) {
      const Hls = globalThis.Hls;
      if (!Hls.isSupported()) throw new Error('hls.js does not support this browser');
      player = new Hls({ maxBufferLength: AHEAD, maxMaxBufferLength: AHEAD, backBufferLength: BEHIND });
      player.on(Hls.Events.ERROR, (_, data) => report(data.fatal,
        `hls.js ${data.type} ${data.details}${data.response ? ` ${data.response.code} ${data.response.url ?? ''}` : ''}: ${data.error?.message ?? ''}`));
      player.on(Hls.Events.MANIFEST_PARSED, () => video.play());
      player.loadSource(url);
      player.attachMedia(video);
    },
    live: () => Boolean(details()?.live),
    wall: () => player.playingDate?.getTime() ?? null,
    latency: () => (details()?.live ? player.latency : null),
    rungs: () => player.levels.filter((level) => level.height).map((level) => ({
      id: String(player.levels.indexOf(level)), width: level.width, height: level.height, bandwidth: level.bitrate,
    })),
    choose(id) {
      player.loadLevel = Number(id);
    },
    audio: () => player.audioTracks.length > 0 || player.levels.some((level) => level.audioCodec),
    reach: (video) => (details()?.live ? [details().fragmentStart, details().edge] : seekable(video)),
  };
}

export const drivers = { dashjs, shaka, hlsjs };
