// What Cornerstone's adapters make of a report: `node read_back.mjs SR.dcm IMAGES.json` prints the tool state as JSON.
// IMAGES.json: by SOP Instance UID, the Image Plane module of each image that the regions may lie on.
import fs from 'node:fs';
import { adaptersSR } from '@cornerstonejs/adapters';
import { metaData } from '@cornerstonejs/core';
import dcmjs from 'dcmjs';

const [report, planes] = process.argv.slice(2);
const images = JSON.parse(fs.readFileSync(planes, 'utf8'));
metaData.addProvider((type, id) => (type === 'imagePlaneModule' ? images[id] : undefined));

const { dict } = dcmjs.data.DicomMessage.readFile(fs.readFileSync(report).buffer);
const document = dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict);
const imageIds = Object.fromEntries(Object.keys(images).map(uid => [`${uid}:1`, uid]));
const state = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(document, imageIds, metaData);

const found = Object.entries(state).flatMap(([tool, measurements]) =>
  measurements.map(({ annotation, finding, TrackingUniqueIdentifier }) => ({
    tool,
    uid: TrackingUniqueIdentifier,
    finding: finding[0].CodeMeaning,
    label: annotation.data.label,
    points: (annotation.data.contour?.polyline ?? annotation.data.handles.points).map(point => [...point]),
    closed: annotation.data.contour?.closed,
    statistics: Object.values(annotation.data.cachedStats)[0],
  })),
);
fs.writeSync(1, `=== ${JSON.stringify(found)}\n`); // the adapters write to the console too
